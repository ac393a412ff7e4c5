"""One box of the pictures, one class."""

from minigrad import Dense

from .attention import AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention
from .dense import EinsumDense, Softmax
from .dropout import Dropout
from .embedding import Embedding, PositionalEmbedding, RelativePositions, RotaryPositions, SinusoidalPositions
from .normalization import BatchNormalization, LayerNormalization, Normalization, RMSNormalization
from .recurrent import GRU, LSTM, Bidirectional, SimpleRNN
