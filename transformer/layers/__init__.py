"""One box of the pictures, one class."""

from minigrad import Dense

from .attention import MultiHeadAttention
from .dropout import Dropout
from .embedding import Embedding, PositionalEmbedding
from .normalization import BatchNormalization, LayerNormalization, Normalization
