"""Dates as people write them in English and in Dutch, and the same as ISO 8601: "22 november 2026" -> "2026-11-22"."""

from __future__ import annotations

import datetime
import random

from transformer.tasks.pairs import HELD_OUT, TRAINING, Drawn, Pairs, collect, one_in

FIRST, LAST = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
SHORT_YEARS = range(1950, 2050)  # the years that two digits can mean: each pair of digits once

# A month or a weekday and the ways to write it; the first is the whole word.
ENGLISH_MONTHS = [
    words.split()
    for words in (
        "January Jan Jan.", "February Feb Feb.", "March Mar Mar.", "April Apr Apr.", "May May", "June Jun Jun.",
        "July Jul Jul.", "August Aug Aug.", "September Sep Sept Sept.", "October Oct Oct.", "November Nov Nov.",
        "December Dec Dec.",
    )
]  # fmt: skip
DUTCH_MONTHS = [
    words.split()
    for words in (
        "januari jan jan.", "februari feb feb.", "maart mrt mrt.", "april apr apr.", "mei mei", "juni jun jun.",
        "juli jul jul.", "augustus aug aug.", "september sep sept sept.", "oktober okt okt.", "november nov nov.",
        "december dec dec.",
    )
]  # fmt: skip
ENGLISH_WEEKDAYS = [  # from Monday, as `datetime.date.weekday` counts
    words.split()
    for words in (
        "Monday Mon Mon.", "Tuesday Tue Tues.", "Wednesday Wed Wed.", "Thursday Thu Thurs.", "Friday Fri Fri.",
        "Saturday Sat Sat.", "Sunday Sun Sun.",
    )
]  # fmt: skip
DUTCH_WEEKDAYS = [
    words.split()
    for words in ("maandag ma", "dinsdag di", "woensdag wo", "donderdag do", "vrijdag vr", "zaterdag za", "zondag zo")
]

# {d} 7, {dd} 07, {th} 7th or 7e; {month}, {weekday} whole or short; {m} 3, {mm} 03; {yyyy} 2026, {yy} 26 where two
# digits can mean it, {year} 2026 or '26. In numbers alone the day stands before the month, unless the year is first.
NUMBERS = (
    "{d}-{m}-{year}", "{d}/{m}/{year}", "{dd}-{mm}-{yyyy}", "{dd}/{mm}/{yyyy}", "{d}.{m}.{yyyy}", "{dd}.{mm}.{yyyy}",
    "{dd} {mm} {yyyy}", "{d}-{m}-{yy}", "{dd}/{mm}/{yy}", "{yyyy}/{mm}/{dd}", "{yyyy}/{m}/{d}", "{yyyy}-{mm}-{dd}",
    "{yyyy}{mm}{dd}",
)  # fmt: skip
ENGLISH = (
    "{d} {month} {year}", "{dd} {month} {yyyy}", "{d} {month}, {yyyy}", "{month} {d}, {year}", "{month} {d} {year}",
    "{month} {th}, {year}", "{month} {th} {yyyy}", "{th} {month} {year}", "{th} of {month} {year}",
    "{th} of {month}, {yyyy}", "the {th} of {month} {year}", "the {th} of {month}, {yyyy}", "{month} the {th}, {yyyy}",
    "{weekday}, {month} {d}, {yyyy}", "{weekday} {month} {d} {year}", "{weekday}, {month} {th}, {yyyy}",
    "{weekday} {d} {month} {year}", "{weekday}, {d} {month} {yyyy}", "{weekday} {th} {month} {yyyy}",
    "{weekday} the {th} of {month} {yyyy}", "{weekday}, the {th} of {month}, {yyyy}", "on {month} {d}, {yyyy}",
    "on {weekday}, {month} {d}, {yyyy}", "on {d} {month} {year}", "{d}-{month}-{yyyy}", "{yyyy} {month} {d}",
    "{weekday} {d}/{m}/{yyyy}",
)  # fmt: skip
DUTCH = (
    "{d} {month} {year}", "{dd} {month} {yyyy}", "{th} {month} {year}", "de {th} {month} {yyyy}", "de {th} van {month} {year}",
    "{weekday} {d} {month} {year}", "{weekday}, {d} {month} {yyyy}",
    "{weekday} {th} {month} {yyyy}", "{weekday} de {th} {month} {yyyy}", "{weekday} de {th} van {month} {yyyy}",
    "op {d} {month} {year}", "op {weekday} {d} {month} {yyyy}", "op de {th} {month} {yyyy}", "{d}-{month}-{yyyy}",
    "{weekday} {d}-{m}-{year}", "{weekday} {d}/{m}/{yyyy}",
)  # fmt: skip


def date_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000) -> Pairs:
    """Dates from 1900 to 2099, in many ways of writing them, and their ISO forms; tokens are characters.

    A date is held out in all its forms or in none: one date in ten, chosen by a hash of its ISO form. Two digits are a
    year from 1950 to 2049, and where all are numbers the day stands before the month.

    >>> for source, target in date_pairs(count=4, held_out=1).training:
    ...     print(target, "is", source)
    2036-03-24 is 24-3-36
    2059-10-31 is de 31ste okt 2059
    1977-09-24 is 24/09/77
    1982-11-07 is 7th of November, 1982
    """
    return collect("dates", _draw, seed, count, held_out)


def _draw(rng: random.Random) -> Drawn:
    date = datetime.date.fromordinal(rng.randrange(FIRST, LAST + 1))
    iso = date.isoformat()
    return Drawn(HELD_OUT if one_in(10, iso) else TRAINING, write(date, rng), iso)


def write(date: datetime.date, rng: random.Random) -> str:
    """A date in one of the languages, forms and cases, as the generator chooses."""
    forms, months, weekdays, ordinals = rng.choice(_LANGUAGES)
    digits = f"{date.year % 100:02}"
    short = date.year in SHORT_YEARS
    text = rng.choice(NUMBERS if rng.randrange(5) == 0 else forms).format(
        d=date.day,
        dd=f"{date.day:02}",
        th=rng.choice(ordinals(date.day)),
        month=_whole_or_short(months[date.month - 1], rng),
        weekday=_whole_or_short(weekdays[date.weekday()], rng),
        m=date.month,
        mm=f"{date.month:02}",
        yyyy=date.year,
        yy=digits if short else date.year,
        year=f"'{digits}" if short and rng.randrange(2) else date.year,
    )
    return rng.choice(_CASES)(text)


def _whole_or_short(words: list[str], rng: random.Random) -> str:
    return words[0] if rng.randrange(2) else rng.choice(words[1:])


def english_ordinals(day: int) -> list[str]:
    """How English writes the number of a day as a rank.

    >>> [english_ordinals(day)[0] for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '22nd', '23rd', '30th']
    """
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return [f"{day}{ending}"]


def dutch_ordinals(day: int) -> list[str]:
    """How Dutch writes the number of a day as a rank: with the short ending, and with the one that is spoken.

    >>> [dutch_ordinals(day) for day in (1, 3, 8, 19, 20, 22)]
    [['1e', '1ste'], ['3e', '3de'], ['8e', '8ste'], ['19e', '19de'], ['20e', '20ste'], ['22e', '22ste']]
    """
    return [f"{day}e", f"{day}{'ste' if day in (1, 8) or day >= 20 else 'de'}"]


_LANGUAGES = (
    (ENGLISH, ENGLISH_MONTHS, ENGLISH_WEEKDAYS, english_ordinals),
    (DUTCH, DUTCH_MONTHS, DUTCH_WEEKDAYS, dutch_ordinals),
)
_CASES = (str, str, str, str.lower, str.upper, lambda text: text[0].upper() + text[1:])
