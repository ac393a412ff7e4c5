"""Whole models, each with a config dataclass from which it can be built again."""

from .config import (
    ABLATIONS,
    DecoderConfig,
    EncoderConfig,
    EncoderDecoderConfig,
    LanguageModelConfig,
    RecurrentEncoderDecoderConfig,
)
from .encoder_decoder import EncoderDecoder
from .stacks import Decoder, Encoder, LanguageModel
