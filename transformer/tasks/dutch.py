"""A small grammar that says one thing in English and in Dutch, as training pairs; tokens are lower-case words.

What Dutch does otherwise is all here: the finite verb second in a main clause, whatever comes first ("vandaag leest de
man"); last in a subordinate clause ("dat de man leest"), before what is not finite ("heeft gelezen", "wil lezen"), and
with its particle joined on again ("maakt ... schoon", "schoonmaakt"); "niet" behind a definite object and "geen" in an
indefinite one; "de" and "het", and the ending of an adjective that depends on them ("een groot boek", "het grote boek",
"een grote auto").
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformer.tasks.pairs import TRAINING, Drawn, Pairs, collect, one_in

SEEN, NOVEL = "seen combinations", "held-out combinations"
ONE_IN = 8  # combinations of a verb with a subject or an object that are never learned from


class Adjective(NamedTuple):
    """A quality: `groot` beside an indefinite singular neuter noun, `grote` everywhere else."""

    english: str
    dutch: str
    inflected: str


class Noun(NamedTuple):
    """A thing or a being, with what can be said of it."""

    english: str
    english_plural: str
    dutch: str
    dutch_plural: str
    article: str  # de, het
    adjectives: tuple[Adjective, ...]


class Verb(NamedTuple):
    """An action, in the forms that sentences need; without `objects` it takes none."""

    english: str
    english_third: str
    english_participle: str
    dutch: str  # the infinitive without its particle, and the plural
    dutch_third: str
    dutch_participle: str
    particle: str  # of a verb that comes apart: schoon|maken
    auxiliary: str  # of the perfect: heeft, is
    subjects: tuple[Noun, ...]
    objects: tuple[Noun, ...]


class Tense(NamedTuple):
    """The present, the perfect, or a modal verb with an infinitive."""

    name: str
    english: tuple[str, str] = ("", "")  # singular, plural
    dutch: tuple[str, str] = ("", "")


class Adverb(NamedTuple):
    """When, how often or how surely; with its places in an English clause and the tenses that it goes with."""

    english: str
    dutch: str
    places: tuple[str, ...]  # front: today he reads; middle: he often reads; end: he reads today
    tenses: tuple[Tense, ...]
    habit: bool = False


def _lines(table: str) -> list[list[str]]:
    """The fields of a table."""
    return [line.split() for line in table.strip().splitlines()]


ADJECTIVES = {
    fields[0]: Adjective(*fields)
    for fields in _lines("""
        big        groot       grote
        small      klein       kleine
        old        oud         oude
        young      jong        jonge
        new        nieuw       nieuwe
        beautiful  mooi        mooie
        good       goed        goede
        strong     sterk       sterke
        friendly   vriendelijk vriendelijke
        tasty      lekker      lekkere
        red        rood        rode
        expensive  duur        dure
    """)
}

# What a noun names, and what can be said of it.
KINDS = {
    "adult": "big small old young strong friendly",
    "young": "big small strong friendly",
    "animal": "big small old young strong beautiful",
    "text": "old new beautiful good",
    "food": "big small tasty",
    "plant": "big small beautiful",
    "thing": "big small old new beautiful red expensive",
}
_NOUNS = _lines("""
    man        men         man       mannen       de   adult
    woman      women       vrouw     vrouwen      de   adult
    teacher    teachers    leraar    leraren      de   adult
    doctor     doctors     dokter    dokters      de   adult
    farmer     farmers     boer      boeren       de   adult
    baker      bakers      bakker    bakkers      de   adult
    friend     friends     vriend    vrienden     de   adult
    child      children    kind      kinderen     het  young
    girl       girls       meisje    meisjes      het  young
    boy        boys        jongen    jongens      de   young
    dog        dogs        hond      honden       de   animal
    cat        cats        kat       katten       de   animal
    horse      horses      paard     paarden      het  animal
    bird       birds       vogel     vogels       de   animal
    cow        cows        koe       koeien       de   animal
    book       books       boek      boeken       het  text
    letter     letters     brief     brieven      de   text
    newspaper  newspapers  krant     kranten      de   text
    poem       poems       gedicht   gedichten    het  text
    story      stories     verhaal   verhalen     het  text
    apple      apples      appel     appels       de   food
    pear       pears       peer      peren        de   food
    cake       cakes       taart     taarten      de   food
    egg        eggs        ei        eieren       het  food
    sandwich   sandwiches  boterham  boterhammen  de   food
    flower     flowers     bloem     bloemen      de   plant
    tree       trees       boom      bomen        de   plant
    house      houses      huis      huizen       het  thing
    car        cars        auto      auto's       de   thing
    bicycle    bicycles    fiets     fietsen      de   thing
    ship       ships       schip     schepen      het  thing
    table      tables      tafel     tafels       de   thing
    chair      chairs      stoel     stoelen      de   thing
    window     windows     raam      ramen        het  thing
    door       doors       deur      deuren       de   thing
    coat       coats       jas       jassen       de   thing
    key        keys        sleutel   sleutels     de   thing
    ball       balls       bal       ballen       de   thing
    cup        cups        kopje     kopjes       het  thing
    plate      plates      bord      borden       het  thing
""")
NOUNS = {
    one: Noun(one, more, een, meer, article, tuple(ADJECTIVES[name] for name in KINDS[kind].split()))
    for one, more, een, meer, article, kind in _NOUNS
}
_GROUPS = {
    "people": [n[0] for n in _NOUNS if n[5] in ("adult", "young")],
    "animals": [n[0] for n in _NOUNS if n[5] == "animal"],
    "everything": [*NOUNS],
}


def _nouns(words: str) -> tuple[Noun, ...]:
    """The nouns of a list of nouns and groups."""
    return tuple(NOUNS[name] for word in words.split() for name in _GROUPS.get(word, [word]))


def _verb(english: str, dutch: str, objects: str = "", subjects: str = "people", auxiliary: str = "heeft") -> Verb:
    """A verb from its forms, `_` for a space; a bar stands where it comes apart."""
    infinitive, third, participle = dutch.split()
    particle, _, rest = infinitive.rpartition("|")
    base, english_third, english_participle = (form.replace("_", " ") for form in english.split())
    return Verb(
        base, english_third, english_participle, rest, third, participle, particle, auxiliary, _nouns(subjects), _nouns(objects)
    )  # fmt: skip


_VERBS = (
    _verb("read reads read", "lezen leest gelezen", "book letter newspaper poem story"),
    _verb("write writes written", "schrijven schrijft geschreven", "book letter poem story"),
    _verb("buy buys bought", "kopen koopt gekocht", "book newspaper apple pear cake egg flower house car bicycle ship table "
          "chair coat ball cup plate dog horse cow"),
    _verb("eat eats eaten", "eten eet gegeten", "apple pear cake egg sandwich", "people animals"),
    _verb("see sees seen", "zien ziet gezien", "everything", "people animals"),
    _verb("find finds found", "vinden vindt gevonden", "book letter newspaper egg flower bicycle coat key ball cup dog cat"),
    _verb("look_for looks_for looked_for", "zoeken zoekt gezocht", "book letter bicycle coat key ball cup dog cat child girl boy"),
    _verb("open opens opened", "openen opent geopend", "door window letter book"),
    _verb("paint paints painted", "schilderen schildert geschilderd", "house door table chair ship tree flower horse bicycle"),
    _verb("clean cleans cleaned", "schoon|maken maakt schoongemaakt", "house car bicycle ship table chair window door cup plate"),
    _verb("repair repairs repaired", "repareren repareert gerepareerd", "house car bicycle ship table chair window door"),
    _verb("wash washes washed", "wassen wast gewassen", "car coat cup plate apple pear dog horse"),
    _verb("help helps helped", "helpen helpt geholpen", "people animals"),
    _verb("invite invites invited", "uit|nodigen nodigt uitgenodigd", "people"),
    _verb("sleep sleeps slept", "slapen slaapt geslapen", subjects="people animals"),
    _verb("leave leaves left", "vertrekken vertrekt vertrokken", auxiliary="is"),
    _verb("arrive arrives arrived", "aan|komen komt aangekomen", auxiliary="is"),
    _verb("say says said", "zeggen zegt gezegd"),
    _verb("think thinks thought", "denken denkt gedacht"),
    _verb("know knows known", "weten weet geweten"),
)  # fmt: skip
VERBS = {verb.english: verb for verb in _VERBS}
SAYING = tuple(VERBS[name] for name in ("say", "think", "know"))  # what they take is a clause with "that"
ACTING = tuple(verb for verb in _VERBS if verb not in SAYING)
ONCE = tuple(VERBS[name] for name in ("write", "buy", "eat"))  # nobody does that every day to one and the same thing

PRESENT, PERFECT = Tense("present"), Tense("perfect")
WANT = Tense("want", ("wants to", "want to"), ("wil", "willen"))
CAN = Tense("can", ("can", "can"), ("kan", "kunnen"))
MUST = Tense("must", ("must", "must"), ("moet", "moeten"))
WILL = Tense("will", ("will", "will"), ("zal", "zullen"))
MODALS = (WANT, CAN, MUST, WILL)
AUXILIARIES = {"heeft": ("heeft", "hebben"), "is": ("is", "zijn")}

ADVERBS = (
    Adverb("today", "vandaag", ("front", "end"), (PRESENT, PERFECT, *MODALS)),
    Adverb("tonight", "vanavond", ("front", "end"), (PRESENT, *MODALS)),
    Adverb("tomorrow", "morgen", ("front", "end"), MODALS),
    Adverb("perhaps", "misschien", ("front",), (PRESENT, PERFECT, *MODALS)),
    Adverb("often", "vaak", ("front", "middle"), (PRESENT,), habit=True),
    Adverb("sometimes", "soms", ("front", "middle"), (PRESENT,), habit=True),
    Adverb("usually", "meestal", ("front", "middle"), (PRESENT,), habit=True),
    Adverb("always", "altijd", ("middle",), (PRESENT,), habit=True),
    Adverb("every day", "elke dag", ("front", "end"), (PRESENT,), habit=True),
)
ADVERBS_OF_SAYING = tuple(adverb for adverb in ADVERBS if adverb.english in ("today", "perhaps"))


@dataclass(frozen=True)
class Phrase:
    """A noun with its article, and perhaps an adjective."""

    noun: Noun
    plural: bool = False
    definite: bool = True
    adjective: Adjective | None = None

    def english(self) -> str:
        """`the big book`, `a big book`, `big books`."""
        noun = self.noun.english_plural if self.plural else self.noun.english
        words = f"{self.adjective.english} {noun}" if self.adjective else noun
        if self.definite:
            return f"the {words}"
        return words if self.plural else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

    def dutch(self, negated: bool = False) -> str:
        """`het grote boek`, `een groot boek`, `grote boeken`; negated `geen groot boek`, `geen grote boeken`."""
        if self.definite:
            article = "de" if self.plural else self.noun.article
        elif negated:
            article = "geen"
        else:
            article = "" if self.plural else "een"
        bare = self.noun.article == "het" and not self.definite and not self.plural
        adjective = self.adjective and (self.adjective.dutch if bare else self.adjective.inflected)
        return _text(article, adjective, self.noun.dutch_plural if self.plural else self.noun.dutch)


@dataclass(frozen=True)
class Pronoun:
    """A subject that is known already."""

    words: tuple[str, str]
    plural: bool = False

    def english(self) -> str:
        """`he`."""
        return self.words[0]

    def dutch(self) -> str:
        """`hij`."""
        return self.words[1]


# "zij" is she and they: the verb tells them apart.
PRONOUNS = (Pronoun(("he", "hij")), Pronoun(("she", "zij")), Pronoun(("we", "wij"), True), Pronoun(("they", "zij"), True))


@dataclass(frozen=True)
class Clause:
    """Who does what, in no language yet."""

    subject: Phrase | Pronoun
    verb: Verb
    object: Phrase | None = None
    tense: Tense = PRESENT
    negated: bool = False
    adverb: Adverb | None = None
    place: str = ""  # of the adverb in English

    @property
    def combinations(self) -> set[tuple[str, str]]:
        """(subject, verb) and (verb, object), as nouns and verbs in English; a pronoun can do anything."""
        subject = {(self.subject.noun.english, self.verb.english)} if isinstance(self.subject, Phrase) else set()
        return subject | ({(self.verb.english, self.object.noun.english)} if self.object else set())

    def english(self, asked: bool = False) -> str:
        """Subject, verb, object: `he often reads a book`; asked or denied with `do`: `does he often read a book`."""
        verb, plural = self.verb, self.subject.plural
        helper, bare = "do" if plural else "does", verb.english
        finite = verb.english if plural else verb.english_third
        if self.tense is PERFECT:
            helper, bare = "have" if plural else "has", verb.english_participle
            finite = f"{helper} {bare}"
        elif self.tense is WANT:
            bare, finite = f"want to {bare}", f"{self.tense.english[plural]} {bare}"
        elif self.tense is not PRESENT:
            helper = self.tense.english[plural]
            finite = f"{helper} {bare}"
        adverbs = {self.place: self.adverb.english} if self.adverb else {}
        if asked:
            core = [helper, self.subject.english(), adverbs.get("middle"), bare]
        elif self.negated:
            core = [self.subject.english(), "cannot" if helper == "can" else f"{helper} not", bare]
        else:
            core = [self.subject.english(), adverbs.get("middle"), finite]
        return _text(adverbs.get("front"), *core, self.object.english() if self.object else "", adverbs.get("end"))

    def dutch_finite(self) -> str:
        """The verb that agrees with the subject."""
        if self.tense is PRESENT:
            return self.verb.dutch if self.subject.plural else self.verb.dutch_third
        forms = AUXILIARIES[self.verb.auxiliary] if self.tense is PERFECT else self.tense.dutch
        return forms[self.subject.plural]

    def dutch_rest(self) -> str:
        """What is left of the verb: its particle, its participle or its infinitive."""
        if self.tense is PRESENT:
            return self.verb.particle
        return self.verb.dutch_participle if self.tense is PERFECT else self.verb.particle + self.verb.dutch

    def dutch_middle(self) -> str:
        """What stands between the finite verb and the rest: `vandaag het grote boek niet`."""
        indefinite = self.object is not None and not self.object.definite
        return _text(
            self.adverb.dutch if self.adverb and self.place != "front" else "",
            self.object.dutch(self.negated) if self.object else "",
            "niet" if self.negated and not indefinite else "",
        )

    def dutch_first(self) -> str:
        """The finite verb first: a question, or a main clause behind something else."""
        return _text(self.dutch_finite(), self.subject.dutch(), self.dutch_middle(), self.dutch_rest())

    def dutch_second(self) -> str:
        """The finite verb second, behind a fronted adverb or else the subject: a main clause."""
        if self.adverb and self.place == "front":
            return f"{self.adverb.dutch} {self.dutch_first()}"
        return _text(self.subject.dutch(), self.dutch_finite(), self.dutch_middle(), self.dutch_rest())

    def dutch_last(self) -> str:
        """The finite verb behind all but participle and infinitive: a subordinate clause."""
        if self.tense is PRESENT:
            return _text(self.subject.dutch(), self.dutch_middle(), self.dutch_rest() + self.dutch_finite())
        return _text(self.subject.dutch(), self.dutch_middle(), self.dutch_finite(), self.dutch_rest())


def _text(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


# Sentences: each gives the English and the Dutch.


def statement(clause: Clause) -> tuple[str, str]:
    """`today the man reads a book` -> `vandaag leest de man een boek`."""
    return clause.english(), clause.dutch_second()


def question(clause: Clause, why: bool = False) -> tuple[str, str]:
    """`does the man read a book ?` -> `leest de man een boek ?`; with ``why`` `waarom leest ...`."""
    english, dutch = clause.english(asked=True), clause.dutch_first()
    return _text("why" if why else "", english, "?"), _text("waarom" if why else "", dutch, "?")


def reported(main: Clause, clause: Clause) -> tuple[str, str]:
    """`the woman says that the man reads a book` -> `de vrouw zegt dat de man een boek leest`."""
    return f"{main.english()} that {clause.english()}", f"{main.dutch_second()} dat {clause.dutch_last()}"


CONJUNCTIONS = {"because": "omdat", "when": "wanneer", "if": "als"}


def joined(main: Clause, conjunction: str, clause: Clause, first: bool = False) -> tuple[str, str]:
    """`he sleeps when we read` -> `hij slaapt wanneer wij lezen`; with ``first`` `wanneer wij lezen , slaapt hij`."""
    english = f"{conjunction} {clause.english()}"
    dutch = f"{CONJUNCTIONS[conjunction]} {clause.dutch_last()}"
    if first:
        return f"{english} , {main.english()}", f"{dutch} , {main.dutch_first()}"
    return f"{main.english()} {english}", f"{main.dutch_second()} {dutch}"


# Which sentences there are, and how often.

TENSES = (PRESENT,) * 4 + (PERFECT,) * 3 + MODALS
BESIDE = (PRESENT,) * 2 + MODALS  # of a main clause with "if" or "when"
ANYWHERE, INSIDE = ("front", "middle", "end"), ("middle", "end")
# English has no "will" behind if and when.
AFTER = {"because": TENSES, "when": (PRESENT, PRESENT, PERFECT), "if": (PRESENT, PRESENT, PERFECT, WANT, CAN)}


def translation_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000) -> Pairs:
    """English sentences and their Dutch; tokens are words.

    One combination in eight of a subject with a verb, or of a verb with an object, is chosen by its hash and never
    learned from. The held-out set `seen combinations` has new sentences of old combinations, one sentence in ten; in
    `held-out combinations` every sentence has at least one that is new, though not one new word.

    >>> for english, dutch in translation_pairs(count=100, held_out=1).training[:4]:
    ...     print(english, "->", dutch)
    the child has not bought the small pear -> het kind heeft de kleine peer niet gekocht
    the old doctor knows that the man does not read the new poem -> de oude dokter weet dat de man het nieuwe gedicht niet leest
    today the farmers think that the cat eats the cake -> vandaag denken de boeren dat de kat de taart eet
    do we leave ? -> vertrekken wij ?
    """
    return collect("English to Dutch", _draw, seed, count, held_out, (SEEN, NOVEL), words=True)


@functools.cache
def novel_combinations() -> frozenset[tuple[str, str]]:
    """The combinations that are never learned from."""
    subjects = {(noun.english, verb.english) for verb in _VERBS for noun in verb.subjects}
    objects = {(verb.english, noun.english) for verb in _VERBS for noun in verb.objects}
    return frozenset(pair for pair in subjects | objects if one_in(ONE_IN, " ".join(pair)))


def _draw(rng: random.Random) -> Drawn:
    (english, dutch), clauses = _sentence(rng)
    combinations = {pair for clause in clauses for pair in clause.combinations}
    if not combinations.isdisjoint(novel_combinations()):
        return Drawn(NOVEL, english, dutch)
    return Drawn(SEEN if one_in(10, english) else TRAINING, english, dutch, combinations)


def _sentence(rng: random.Random) -> tuple[tuple[str, str], list[Clause]]:
    kind = rng.randrange(20)
    if kind < 9:
        clause = _clause(rng, deny=True, loose=True)
        return statement(clause), [clause]
    if kind < 12:
        clause = _clause(rng, places=INSIDE)
        return question(clause, why=rng.randrange(4) == 0), [clause]
    if kind < 16:
        main = _clause(rng, SAYING, (PRESENT,), ("front",), deny=True)
        clause = _clause(rng, places=() if main.adverb else INSIDE, deny=True)
        return reported(main, clause), [main, clause]
    conjunction, first = rng.choice([*CONJUNCTIONS]), rng.randrange(2) == 0
    because = conjunction == "because"
    main = _clause(rng, tenses=TENSES if because else BESIDE, places=INSIDE if first else ANYWHERE, deny=True)
    clause = _clause(rng, tenses=AFTER[conjunction], places=INSIDE if because and not main.adverb else (), deny=True)
    return joined(main, conjunction, clause, first), [main, clause]


def _clause(
    rng: random.Random,
    verbs: Sequence[Verb] = ACTING,
    tenses: Sequence[Tense] = TENSES,
    places: Sequence[str] = ANYWHERE,
    deny: bool = False,
    loose: bool = False,
) -> Clause:
    """A clause that makes sense; `deny` allows a negation, and `loose` a subject that is new to the listener."""
    verb, tense = rng.choice(verbs), rng.choice(tenses)
    negated = deny and tense is not MUST and rng.randrange(5) == 0  # "must not" is no "moet niet"
    adverb, place = None, ""
    if rng.randrange(3) == 0:
        adverb, place = rng.choice(_adverbs(verb, tense, negated, tuple(places)) or [(None, "")])
    # "er slaapt een man": without an object or with more in front, Dutch wants a word more for a new subject
    new = loose and verb.objects != () and not negated and adverb is None and rng.randrange(5) == 0
    known = not new and rng.randrange(3) == 0
    subject = rng.choice(PRONOUNS) if known else _phrase(rng, verb.subjects, definite=not new)
    thing = None
    if verb.objects:
        others = [noun for noun in verb.objects if not isinstance(subject, Phrase) or noun != subject.noun]
        once = adverb is not None and adverb.habit and verb in ONCE
        thing = _phrase(rng, others, definite=not once and rng.randrange(2) == 0)
    return Clause(subject, verb, thing, tense, negated, adverb, place)


@functools.cache
def _adverbs(verb: Verb, tense: Tense, negated: bool, places: tuple[str, ...]) -> list[tuple[Adverb, str]]:
    """The adverbs that a clause can have, and where: what is denied has them in front only, and is no habit."""
    fitting = ADVERBS if verb not in SAYING else ADVERBS_OF_SAYING
    return [
        (adverb, place)
        for adverb in fitting
        for place in adverb.places
        if place in places and tense in adverb.tenses and not (negated and (adverb.habit or place != "front"))
    ]


def _phrase(rng: random.Random, nouns: Sequence[Noun], definite: bool) -> Phrase:
    noun = rng.choice(nouns)
    return Phrase(noun, rng.randrange(3) == 0, definite, rng.choice(noun.adjectives) if rng.randrange(3) == 0 else None)
