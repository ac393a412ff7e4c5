"""transformer: the boxes of the course notes on attention, built on minigrad."""

from minigrad import Sequential
from minigrad.summary import count, summary

from .blocks import AddNorm, DecoderBlock, EncoderBlock, FeedForward, GatedFeedForward
from .generation import Beam, answer, beam_search, generate, stream, text_stream
from .layers import (
    GRU,
    LSTM,
    AdditiveAttention,
    Attention,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    EinsumDense,
    Embedding,
    GroupQueryAttention,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    PositionalEmbedding,
    RelativePositions,
    RMSNormalization,
    RotaryPositions,
    SimpleRNN,
    SinusoidalPositions,
    Softmax,
)
from .models import (
    Classifier,
    ClassifierConfig,
    Decoder,
    DecoderConfig,
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    RecurrentEncoderDecoder,
    RecurrentEncoderDecoderConfig,
)
from .pretrained import from_pretrained, save_pretrained
from .sampling import Sampling, probabilities, sample
from .sentences import embed_sentences
from .tokenizers import PretrainedTokenizer, Subwords, Vocabulary, load_tokenizer
from .training import BestCheckpoint, EarlyStopping, fit
