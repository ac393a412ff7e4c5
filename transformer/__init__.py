"""transformer: the boxes of the course notes on attention, built on minigrad."""

from minigrad.summary import count, summary

from .blocks import AddNorm, DecoderBlock, EncoderBlock, FeedForward
from .layers import (
    AdditiveAttention,
    Attention,
    BatchNormalization,
    Dense,
    Dropout,
    EinsumDense,
    Embedding,
    GroupQueryAttention,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    PositionalEmbedding,
    RMSNormalization,
    SinusoidalPositions,
    Softmax,
)
from .models import (
    Decoder,
    DecoderConfig,
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
)
