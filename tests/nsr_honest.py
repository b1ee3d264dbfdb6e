# ruff: noqa: E501 (texts are quoted as they are)
"""Text that no one may refuse, by kind; random kinds are seeded."""

import base64
import hashlib
import random
import re
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

WORD_LIST = Path("/usr/share/dict/american-english")
FORBIDDEN = re.compile(
    r"exploit(s|ed|ing|er|ation|ative)?|harm(s|ed|ing|ful|fully)?|forc(e|es|ed|ing|eful|efully|ible|ibly)|override_consent",
    re.I,
)
SUBSTRING = re.compile(r"exploit|harm|forc|consent|override", re.I)

RUSSIAN = """Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью и должны
поступать в отношении друг друга в духе братства. Температура в теплице поднялась до двадцати двух градусов, грибница
растёт хорошо, влажность в норме. Насос номер три остановлен на обслуживание; рассада полита, свет включён в шесть утра.
Хорошо, хор, форма, гарем, карма, ферма, сахар, марафон, фарс, норма, хром, ресурс, север, рассвет, сектор, осень"""
GREEK = """Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική
και συνείδηση και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης. Η θερμοκρασία στο θερμοκήπιο έφτασε
τους είκοσι δύο βαθμούς και το μυκήλιο αναπτύσσεται καλά. ΧΑΡΜΑ χάρμα άρμα όρος χώρος φόρος φορές έρως"""
ARABIC = """يولد جميع الناس أحرارا متساوين في الكرامة والحقوق وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء
درجة الحرارة في البيت الزجاجي اثنتان وعشرون درجة والرطوبة طبيعية"""
CHINESE = """人人生而自由在尊严和权利上一律平等他们赋有理性和良心并应以兄弟关系的精神相对待 温室温度为二十二度 湿度正常 菌丝生长良好
すべての人間は生まれながらにして自由であり かつ尊厳と権利とについて平等である 온실 온도는 이십이 도이고 습도는 정상입니다"""
LATIN = """Tous les êtres humains naissent libres et égaux en dignité et en droits. La température de la serre à midi était élevée.
Alle Menschen sind frei und gleich an Würde geboren; die Wärme im Gewächshaus größer als üblich. Różne źródła światła
świecą łagodnie. Příliš žluťoučký kůň úpěl ďábelské ódy. Çiçekler güneşi özlüyor, ısı ölçüldü. Señal enérgica, acción rápida.
naïve café résumé über façade piñata smörgåsbord Ångström Łódź Dvořák São Tomé Kraków Zürich charmé fórmula fôret forêt"""

SUBJECTS = (
    "the sensor",
    "a pump",
    "node seven",
    "the greenhouse",
    "our mycelium",
    "the night shift",
    "gateway b",
    "the CO2 probe",
)
VERBS = ("reports", "measured", "waits for", "reached", "restarted after", "agrees with", "sends", "is calm at")
OBJECTS = (
    "22.5 degrees", "a humidity of 65%", "the next ritual phase", "channel 4, slot 12", "harmony in C major", "0.0043 Hz",
    "firmware v1.2.3-rc4", "a pharmacy order", "Salesforce record 00Q5g00000abcd", "an unharmed seedling", "workforce planning",
    "reinforced glass", "a charm of finches", "R&D at 100% load", "https://example.org/a/b?c=1&d=2%20x", "C:\\new\\table", "for CE marking",
    "O R B I T", "a, b, c and d", "harmless mould", "forcemeat", "the port of Forcalquier",
)  # fmt: skip


@cache
def _random() -> random.Random:
    return random.Random(5)


def words_with_substring() -> list[str]:
    """Every word of the list that has a marker as a mere part of it; empty without the list."""
    if not WORD_LIST.exists():
        return []
    words = WORD_LIST.read_text("utf-8").split()
    return [
        w for w in words if SUBSTRING.search(w) and not any(FORBIDDEN.fullmatch(part) for part in re.split(r"\W", w))
    ]


def sentences() -> list[str]:
    pick = random.Random(6)
    return [
        f"{pick.choice(SUBJECTS).capitalize()} {pick.choice(VERBS)} {pick.choice(OBJECTS)}, then {pick.choice(OBJECTS)}."
        for _ in range(10_000)
    ]


def uuids() -> list[str]:
    pick = random.Random(7)
    return [str(uuid.UUID(int=pick.getrandbits(128))) for _ in range(3_000)]


def hashes() -> list[str]:
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2_000)]
    return digests + [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest().upper() for n in range(1_000)]


def base64_blobs() -> list[str]:
    pick = random.Random(8)
    blobs = [pick.randbytes(pick.randrange(6, 90)) for _ in range(10_000)]
    return [(base64.b64encode if n % 2 else base64.urlsafe_b64encode)(blob).decode() for n, blob in enumerate(blobs)]


def _text(text: str) -> Callable[[], list[str]]:
    return lambda: [*re.findall(r"\S+", text), *text.splitlines(), *re.split(r"(?<=[.;])\s", text)]


HONEST: dict[str, Callable[[], list[str]]] = {
    "words that hold a marker": words_with_substring,
    "sentences": sentences,
    "UUIDs": uuids,
    "hashes": hashes,
    "base64 of random bytes": base64_blobs,
    "Cyrillic": _text(RUSSIAN),
    "Greek": _text(GREEK),
    "Arabic": _text(ARABIC),
    "Chinese, Japanese, Korean": _text(CHINESE),
    "accented Latin": _text(LATIN),
}
