"""From written text to spoken words, in the languages that Asterisk's prompts come in."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from num2words import num2words

from asrkd.errors import UserError

NO_SPEECH = re.compile(r"\[[^]]*\]|\([^)]*\)|<[^>]*>")  # [beep], (10 seconds of silence), <beep ascending>
SENTENCE_END = re.compile(r"(?<=[.?!;])\s+")
LETTER = r"[^\W\d_]"
INITIALS = frozenset(
    {  # said letter by letter in every language
        "PBX",
        "IVR",
        "IAX",
        "IP",
        "USB",
        "MGCP",
        "WWW",
    }
)


@dataclass(frozen=True)
class Language:
    """What is particular to a language, and to its list of prompts. All in capitals."""

    name: str
    code: str  # of Asterisk's packages and of num2words
    symbols: Mapping[str, str]  # those that the list has, as they are said
    dot: str  # in www.asterisk.org
    respelt: Mapping[str, str]  # words, or several, that the list has in another spelling
    same: Mapping[str, str] = field(default_factory=dict)  # letters that the list leaves out or uses as it comes
    elides: bool = False  # L'AUDIO is two words, L' and AUDIO
    hundred: str = ""  # where 8500 is EIGHTY FIVE HUNDRED
    not_said: frozenset[str] = frozenset()  # prompts whose text is not what the voice says


ENGLISH = Language(
    name="English",
    code="en",
    symbols={"*": "STAR", "#": "POUND", "&": "AND", "%": "PERCENT", "@": "AT", "+": "PLUS", "=": "EQUALS"},
    dot="DOT",
    respelt={  # misspelt in the list, or two words that lexicons know apart
        "BACKTICK": "BACK TICK",
        "EXCLAIMATION": "EXCLAMATION",
        "FOREVERMORE": "FOREVER MORE",
        "FOURTIETH": "FORTIETH",
        "INDENTIFIED": "IDENTIFIED",
        "LOWERCASE": "LOWER CASE",
        "REPRESENATIVES": "REPRESENTATIVES",
        "RERECORD": "RE RECORD",
        "SEMICOLON": "SEMI COLON",
        "TOUCHTONE": "TOUCH TONE",
        "UMUTE": "UNMUTE",
        "UPPERCASE": "UPPER CASE",
        "WITHELD": "WITHHELD",
        "XRAY": "X RAY",
    },
    hundred="HUNDRED",
)

FRENCH = Language(
    name="French",
    code="fr",
    symbols={"*": "ÉTOILE", "#": "DIÈSE"},
    dot="POINT",
    # A word for each pair of L' or D' and a noun would be many words heard once. AUJOURD'HUI has no noun in it.
    elides=True,
    respelt={  # misspelt, or without their accents, which are sounds in French
        "28.8": "28 POINT 8",  # not VIRGULE
        "A JOINDRE": "À JOINDRE",
        "A JOUR": "À JOUR",
        "A L'": "À L'",
        "A NOUVEAU": "À NOUVEAU",
        "A PARTIR": "À PARTIR",
        "A VOTRE": "À VOTRE",
        "ABREGÉE": "ABRÉGÉE",
        "ACCEUIL": "ACCUEIL",
        "APPELLANT": "APPELANT",
        "AUJOURD' HUI": "AUJOURD'HUI",
        "AUREVOIR": "AU REVOIR",
        "AUTORISE": "AUTORISÉ",
        "BOITE": "BOÎTE",
        "CE TTE": "CETTE",
        "CONCTACT": "CONTACTE",
        "CONNECTION": "CONNEXION",
        "DÉMONTRATION": "DÉMONSTRATION",
        "DESIREZ": "DÉSIREZ",
        "DESOLE": "DÉSOLÉ",
        "DESOLÉ": "DÉSOLÉ",
        "DÉVÉROUILLÉE": "DÉVERROUILLÉE",
        "DÉVÉROUILLER": "DÉVERROUILLER",
        "DÉVEROUILLÉE": "DÉVERROUILLÉE",
        "ECHO": "ÉCHO",
        "ECOUTER": "ÉCOUTER",
        "ENLEVE": "ENLEVÉ",
        "ETAIT": "ÉTAIT",
        "ETE": "ÉTÉ",
        "ETES": "ÊTES",
        "ÉTEZ": "ÉTÉ",
        "ETRE": "ÊTRE",
        "FELICITATION": "FÉLICITATIONS",
        "NUMERO": "NUMÉRO",
        "OCCUPES": "OCCUPÉS",
        "POUS": "POUR",
        "PREMIERES": "PREMIÈRES",
        "PRÉSENTEMNET": "PRÉSENTEMENT",
        "PRESENTEMENT": "PRÉSENTEMENT",
        "PROBLEMES": "PROBLÈMES",
        "RAPPLER": "RAPPELÉ",
        "RE": "RÉ",
        "REESSAYER": "RÉESSAYER",
        "RÉPÉTÉR": "RÉPÉTER",
        "SIMULTANE": "SIMULTANÉ",
        "TELEPHONE": "TÉLÉPHONE",
        "TELEPHONER": "TÉLÉPHONER",
        "VEROUILLÉE": "VERROUILLÉE",
        "VÉROUILLÉE": "VERROUILLÉE",
        "VÉROUILLER": "VERROUILLER",
        "VÉRROUILLER": "VERROUILLER",
    },
    not_said=frozenset({"digits/h-80", "spy-iax2"}),  # the text of h-70; "eeks", an English spelling
)

SPANISH = Language(
    name="Spanish",
    code="es",
    symbols={},
    dot="PUNTO",
    # The list leaves out most accents. They mark the stress; the vowel is the same.
    same={"Á": "A", "É": "E", "Í": "I", "Ó": "O", "Ú": "U"},
    respelt={  # misspelt, without their Ñ, or numbers that this voice, unlike the others, says digit by digit
        "500": "CINCO CERO CERO",
        "600;": "SEIS CERO CERO;",
        "AN ADELANTE": "EN ADELANTE",
        "ATRAVEZ": "A TRAVES",
        "CIENT": "CIEN",
        "CONTRASENA": "CONTRASEÑA",
        "CONTRASENAS": "CONTRASEÑAS",
        "CONTRASENIA": "CONTRASEÑA",
        "DEFETO": "DEFECTO",
        "DEMONSTRACION": "DEMOSTRACION",
        "ENTIDADE": "ENTIDADES",
        "INGESE": "INGRESE",
        "INTRODUSCA": "INTRODUZCA",
        "KB": "KILOBITS",
        "MANANA": "MAÑANA",
        "MESAJE": "MENSAJE",
        "MUDO MUDO": "MODO MUDO",
        "NIMBRE": "NOMBRE",
        "NUMBRE": "NOMBRE",
        "PARACAMBIAR": "PARA CAMBIAR",
    },
)

ITALIAN = Language(
    name="Italian",
    code="it",
    symbols={},
    dot="PUNTO",
    elides=True,  # as in French
    respelt={  # of some lines, letters with an accent have become question marks; the voice says CANCELLETTO for #
        "?": "È",
        "E'": "È",
        "COS?": "COSÌ",
        "PI?": "PIÙ",
        "PU?": "PUÒ",
        "SAR?": "SARÀ",
        "600.": "SEI ZERO ZERO.",
        "CASSELLA": "CASELLA",
        "MENU": "MENÙ",
        "PERPIACERE": "PER PIACERE",
        "STERLINA": "CANCELLETTO",
    },
    not_said=frozenset(
        {
            *("beep", "beeperr", "confbridge-join", "confbridge-leave"),  # a description of the sound
            *("is", "spy-h323", "spy-mgcp", "spy-nbs"),  # in English
        }
    ),
)

RUSSIAN = Language(
    name="Russian",
    code="ru",
    symbols={},
    dot="ТОЧКА",
    same={"Ё": "Е"},  # the list has many a word with both
    respelt={  # misspelt, in Latin letters, or not as the voice reads them
        "28,8": "28 И 8",
        "ASTERISK": "АСТЕРИСК",
        "AT": "ЭТ",
        "IAX": "И А ИКС",
        "Q": "КЬЮ",
        "Z": "ЗЭТ",
        "АТС": "А ТЭ ЭС",
        "АШ-323": "АШ ТРИСТА ДВАДЦАТЬ ТРИ",
        "ВЗЕЗДОЧКА": "ЗВЕЗДОЧКА",
        "ДЕМОНТРАЦИОННЫМ": "ДЕМОНСТРАЦИОННЫМ",
        "ЗА ТЕМ": "ЗАТЕМ",
        "ЗАВРШИТЬ": "ЗАВЕРШИТЬ",
        "МГЦП": "ЭМ ГЭ ЦЭ ПЭ",
        "ОКТРЯБРЯ": "ОКТЯБРЯ",
        "ПЕРВ\N{LATIN CAPITAL LETTER O}\N{LATIN CAPITAL LETTER E}": "ПЕРВОЕ",
        "УВЕЛИЧИЕНИЯ": "УВЕЛИЧЕНИЯ",
        "ЧТО БЫ": "ЧТОБЫ",
        "ЧТОБЫ БЫ": "ЧТОБЫ",
    },
    not_said=frozenset({"demo-moreinfo"}),  # www.asterisk.org, which Russians say in several ways
)

LANGUAGES = {language.code: language for language in (ENGLISH, SPANISH, FRENCH, ITALIAN, RUSSIAN)}


def find_language(code: str) -> Language:
    """Raises UserError when there is none of that code."""
    if code not in LANGUAGES:
        raise UserError(f"--language {code}: expected one of {', '.join(LANGUAGES)}")
    return LANGUAGES[code]


def spoken_sentences(written: str, language: Language = ENGLISH) -> tuple[str, ...]:
    """The words of each sentence as they are spoken, in upper case; see `spoken`."""
    # Once here and once as words: a question mark in place of a letter would end a sentence.
    speech = NO_SPEECH.sub(" ", _respell(_capitals(written), language)).strip()
    sentences = (spoken(sentence, language) for sentence in SENTENCE_END.split(speech))
    return tuple(sentence for sentence in sentences if sentence)


def spoken(written: str, language: Language = ENGLISH) -> str:
    """Upper case, numbers and symbols as words, abbreviations as letters, no punctuation but the apostrophe."""
    text = _capitals(written).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for symbol, word in language.symbols.items():
        text = text.replace(symbol, f" {word} ")
    text = re.sub(rf"\b({LETTER})\.(?=({LETTER}|\d)\b)", r"\1 ", text)  # A.M., H.323
    text = re.sub(rf"(?<={LETTER})\.(?={LETTER})", f" {language.dot} ", text)  # www.asterisk.org
    if language is ENGLISH:
        text = re.sub(r"(\d+)(ST|ND|RD|TH)\b", lambda found: _words(int(found[1]), language, "ordinal"), text)
    text = re.sub(r"\d+\.\d+|\d+", lambda found: f" {_number(found[0], language)} ", text)
    text = "".join(language.same.get(letter, letter) for letter in text)
    words: list[str] = []
    for word in "".join(letter if letter.isalpha() or letter == "'" else " " for letter in text).split():
        words += re.findall(r"[^']+'?", word) if language.elides else [word.strip("'")]
    text = _respell(" ".join(word for word in words if word), language)
    return " ".join(" ".join(word) if word in INITIALS else word for word in text.split())


def _capitals(text: str) -> str:
    return unicodedata.normalize("NFC", text.upper())


def _respell(text: str, language: Language) -> str:
    wrong = "|".join(map(re.escape, sorted(language.respelt, key=len, reverse=True)))
    return re.sub(rf"(?<!\S)(?:{wrong})(?!\S)", lambda found: language.respelt[found[0]], text)


def _number(digits: str, language: Language) -> str:
    """As a telephone voice says it: three and more digits are an extension or a password, and are said one by one.

    Whole hundreds are not: 500 is FIVE HUNDRED. Only the English voice goes on so to 8500, EIGHTY FIVE HUNDRED.
    """
    if "." in digits:
        return _words(float(digits), language)
    if len(digits) < 3:
        return _words(int(digits), language)
    if digits.endswith("00") and len(digits) == 3:
        return _words(int(digits), language)
    if digits.endswith("00") and len(digits) == 4 and language.hundred:
        return f"{_words(int(digits[:-2]), language)} {language.hundred}"
    return " ".join(_words(int(digit), language) for digit in digits)


def _words(value: float, language: Language, to: str = "cardinal") -> str:
    return str(num2words(value, lang=language.code, to=to)).upper().replace("-", " ").replace(",", "")
