"""transformer: the boxes of the course notes on attention, built on minigrad."""

from .blocks import AddNorm, EncoderBlock, FeedForward
from .layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    PositionalEmbedding,
)
from .models import LanguageModel, LanguageModelConfig
from .summary import summary
