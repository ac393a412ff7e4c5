"""Whole models, each with a config dataclass from which it can be built again."""

from .classifier import Classifier
from .config import (
    ABLATIONS,
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    EncoderDecoderConfig,
    LanguageModelConfig,
    RecurrentEncoderDecoderConfig,
)
from .encoder_decoder import EncoderDecoder
from .recurrent import RecurrentEncoderDecoder
from .stacks import Decoder, Encoder, LanguageModel

MODELS = {  # by the name that a config.json gives: the model, and what it is built from
    "LanguageModel": (LanguageModel, LanguageModelConfig),
    "Encoder": (Encoder, EncoderConfig),
    "Decoder": (Decoder, DecoderConfig),
    "EncoderDecoder": (EncoderDecoder, EncoderDecoderConfig),
    "RecurrentEncoderDecoder": (RecurrentEncoderDecoder, RecurrentEncoderDecoderConfig),
    "Classifier": (Classifier, ClassifierConfig),
}
