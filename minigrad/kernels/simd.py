"""Building blocks inside kernels: rows behind pointers, numbers of the element type, and single CPU operations.

All of them are Numba intrinsics, which compile in no time and work for float32 and float64 alike.
"""


from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from minigrad.kernels.compile import helper

_INT = {types.float32: types.int32, types.float64: types.int64}


# ---- where things are


def rows_of(x):
    """(R, N): how many rows of how many elements an array has."""
    return (x.size // x.shape[-1] if x.shape[-1] else 0), x.shape[-1]


@helper
def share(t, nt, n):
    """The range [first, last) that thread t of nt takes of n items: neighbours, and never more than one item uneven."""
    return t * n // nt, (t + 1) * n // nt


@intrinsic
def at(typing_context, pointer, i):
    """The pointer ``i`` elements further."""

    def generate(context, builder, signature, values):
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, types.int64), generate


@intrinsic
def row(typing_context, pointer, start, n):
    """The ``n`` elements behind ``pointer`` from element ``start``, as a contiguous 1-d array (n,)."""
    array = types.Array(pointer.dtype, 1, "C")

    def generate(context, builder, signature, values):
        data, first, count = values
        size = context.get_abi_sizeof(context.get_data_type(pointer.dtype))
        item = ir.Constant(ir.IntType(64), size)
        out = make_array(array)(context, builder)
        populate_array(out, builder.gep(data, [first]), [count], [item], item, None)
        return out._getvalue()

    return array(pointer, types.int64, types.int64), generate


@intrinsic
def pointer(typing_context, address, like):
    """The pointer, of the type of the pointer ``like``, to an int64 address."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(like))

    return like(types.int64, like), generate


# ---- numbers of the element type


def element(like):
    """The element type of a Numba pointer, array or number type."""
    return getattr(like, "dtype", like)


@intrinsic
def number(typing_context, bits, like):
    """A ``float`` argument of a kernel, in the element type of ``like`` (a pointer, an array or a number)."""
    kind = element(like)

    def generate(context, builder, signature, values):
        value = builder.bitcast(values[0], ir.DoubleType())
        return builder.fptrunc(value, ir.FloatType()) if kind == types.float32 else value

    return kind(types.int64, like), generate


@intrinsic
def constant(typing_context, value, like):
    """A number, usually a literal, in the element type of ``like``: 0.5 must not turn float32 into float64."""
    kind = element(like)
    given = types.unliteral(value)

    def generate(context, builder, signature, values):
        return context.cast(builder, values[0], given, kind)

    return kind(given, like), generate


# ---- while machine code is written


def fetch(builder, place, writes):
    """Ask for the cache line of a pointer before it is read, or written; there may be nothing."""
    word, there = ir.IntType(32), builder.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [there.type, word, word, word])
    near = 3 if writes else 2  # which cache: the first, or the second
    code = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(code, [there, word(int(writes)), word(near), word(1)])


@intrinsic
def fetch_line(typing_context, address):
    """`fetch` of the cache line at an address, which will be read."""

    def generate(context, builder, signature, values):
        fetch(builder, builder.inttoptr(values[0], ir.IntType(8).as_pointer()), writes=False)
        return context.get_dummy_value()

    return types.void(types.int64), generate


# ---- single operations


def _operation(name, arity, doc):
    """An LLVM operation on floats of either size; loops over it vectorise, where a libm call would not."""

    def generate(context, builder, signature, values):
        kind = context.get_value_type(signature.return_type)
        function = builder.module.declare_intrinsic(f"llvm.{name}", [kind], ir.FunctionType(kind, [kind] * arity))
        return builder.call(function, values)

    if arity == 1:

        def typed(typing_context, x):
            return x(x), generate

    elif arity == 2:

        def typed(typing_context, x, y):
            return x(x, x), generate

    else:

        def typed(typing_context, x, y, z):
            return x(x, x, x), generate

    typed.__name__, typed.__doc__ = name, doc
    return intrinsic(typed)


rint = _operation("rint", 1, "The nearest integer, halves to even.")
fabs = _operation("fabs", 1, "The absolute value.")
sqrt = _operation("sqrt", 1, "The square root; NaN below 0.")
copysign = _operation("copysign", 2, "The size of x with the sign of y.")
maximum = _operation("maximum", 2, "The larger one; NaN if either is. Reductions with it vectorise and keep -inf.")
minimum = _operation("minimum", 2, "The smaller one; NaN if either is.")
fma = _operation("fma", 3, "x * y + z, rounded once where the CPU has it; elsewhere a slow library call.")


@intrinsic
def float_bits(typing_context, x):
    """The bits of a float as an integer of its size."""

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], context.get_value_type(signature.return_type))

    return _INT[x](x), generate


@intrinsic
def bits_float(typing_context, bits):
    """The float with these bits: float32 from int32, float64 from int64."""
    kind = {integer: real for real, integer in _INT.items()}[bits]

    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], context.get_value_type(kind))

    return kind(bits), generate


@intrinsic
def to_int(typing_context, x):
    """A float as an integer of its size, cut towards 0; it must fit."""

    def generate(context, builder, signature, values):
        return builder.fptosi(values[0], context.get_value_type(signature.return_type))

    return _INT[x](x), generate
