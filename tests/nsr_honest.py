# ruff: noqa: E501 (texts are quoted as they are)
"""Text that no one may refuse, by kind; random kinds are seeded."""

import base64
import hashlib
import json
import quopri
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


def hex_dumps() -> list[str]:
    pick = random.Random(9)
    dumps = []
    for sentence in sentences()[:300]:
        data = sentence.encode()
        dumps += [data.hex(" "), data.hex(":").upper(), ", ".join(f"0x{byte:02x}" for byte in data), data.hex(" ", 2)]
    for _ in range(3_000):
        data = pick.randbytes(pick.randrange(4, 64))
        dumps += [
            data.hex(" "),
            data.hex("-"),
            "{" + ", ".join(f"0x{byte:02X}" for byte in data) + "}",
            data.hex(" ", 2),
        ]
    return dumps


def numbers() -> list[str]:
    """Readings, codes of devices, addresses, dates and telephone numbers."""
    pick = random.Random(10)
    texts = [
        "104.97.114.109",
        "a104-97-114-109.deploy.static.akamaitechnologies.com",
        "102.111.114.99",
        "+49 104 97 114",
    ]
    for _ in range(3_000):
        values = [pick.randrange(256) for _ in range(pick.randrange(4, 40))]
        texts.append(pick.choice((",", ", ", " ", ";", "\n", "\t")).join(map(str, values)))
        texts.append(json.dumps(values))
        texts.append(" ".join(f"{value:03o}" for value in values))
        texts.append(":".join(f"{value:02x}" for value in values[:6]))
        texts.append(".".join(map(str, values[:4])) + f"/{pick.randrange(33)}")
        texts.append(f"+{pick.randrange(99)} {pick.randrange(1000)} {pick.randrange(10**6)}-{pick.randrange(100):02d}")
        texts.append(
            f"20{values[0] % 40:02d}-{values[1] % 12 + 1:02d}-{values[2] % 28 + 1:02d}T{values[3] % 24:02d}:30:15Z"
        )
        texts.append(
            f"v{values[0]}.{values[1]}, pH {values[2] / 20:.1f}, {values[3]}/{values[0]} mmHg, 0x{values[1]:04X}"
        )
    return texts


def encoded_sentences() -> list[str]:
    """Honest text in the encodings that are undone."""
    texts = []
    for number, sentence in enumerate(sentences()[:1_500]):
        data = f"{sentence} Grüße, zażółć gęślą jaźń = {number}".encode()
        texts += [
            re.sub("(harm|force)=\n", r"\1", quopri.encodestring(data).decode()),  # its end of line ends a word
            base64.encodebytes(data * 2).decode(),
            base64.b64encode(data.decode().encode("utf-16")).decode(),
            base64.b32encode(data).decode(),
            "".join(f"%{byte:02X}" for byte in data),
            json.dumps(json.dumps({"text": data.decode()})),
            data.decode().encode("utf-16-le").hex(),
        ]
    return texts


def credentials() -> list[str]:
    """JSON web tokens, PEM certificates and images of random bytes."""
    pick = random.Random(12)
    texts = []
    for number in range(1_000):
        claims = {
            "sub": str(uuid.UUID(int=pick.getrandbits(128))),
            "iat": 1_700_000_000 + number,
            "scope": "read write",
        }
        parts = [json.dumps({"alg": "RS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), pick.randbytes(256)]
        texts.append(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts))
        body = base64.encodebytes(b"0\x82\x03\x0f0\x82" + pick.randbytes(700)).decode()
        texts.append(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
        texts.append(
            "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + pick.randbytes(600)).decode()
        )
        texts.append(base64.b32encode(pick.randbytes(20)).decode())
        texts.append(f"commit {pick.randbytes(20).hex()} parents {pick.randbytes(4).hex()} {pick.randbytes(4).hex()}")
    return texts


def settings() -> list[str]:
    """Equals signs, quotes and rows of single characters that encode nothing."""
    pick = random.Random(13)
    words = [word for word in (LATIN + RUSSIAN).split() if not SUBSTRING.search(word)]
    texts = ["key=", "a==b", "x=1\ny=2\n", "= = = = = = =", "-=-=-=-=-=-", "a b c d e f g h", "A|B|C|D|E|F|1|2|3", "#-#-#-#-#-#-#",
             '"quoted"', '"', '"a": 1', "' '", "\ufeffplain text after a mark", "1 0 1 0 0 1 1 0", "%-5d|%-8s|%c", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?="]  # fmt: skip
    for _ in range(1_000):
        first, second, third = (pick.choice(words) for _ in range(3))
        texts += [f"{first}={second}&{third}={pick.randrange(100)}", f"{first} = {second}; {third}=ff", f'"{first}" "{second}"',
                  "-".join(first + second), " ".join(third), f"{first}=\n{second}"]  # fmt: skip
    return texts


def _text(text: str) -> Callable[[], list[str]]:
    return lambda: [*re.findall(r"\S+", text), *text.splitlines(), *re.split(r"(?<=[.;])\s", text)]


HONEST: dict[str, Callable[[], list[str]]] = {
    "words that hold a marker": words_with_substring,
    "sentences": sentences,
    "UUIDs": uuids,
    "hashes": hashes,
    "base64 of random bytes": base64_blobs,
    "hex dumps": hex_dumps,
    "numbers": numbers,
    "encoded sentences": encoded_sentences,
    "tokens, certificates, images": credentials,
    "settings": settings,
    "Cyrillic": _text(RUSSIAN),
    "Greek": _text(GREEK),
    "Arabic": _text(ARABIC),
    "Chinese, Japanese, Korean": _text(CHINESE),
    "accented Latin": _text(LATIN),
}
