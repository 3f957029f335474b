"""Words in several languages by which columns of a role are called."""

import re

from rossmann.chain import RESERVED_NAMES

SALES = (
    "sales", "revenue", "turnover", "umsatz", "ventas", "venta", "ventes", "vendas", "vendite", "fatturato", "omzet",
    "chiffre", "importe", "montant", "売上", "销售", "매출", "продаж", "выручк", "amount", "total", "net", "gross",
    "transactions", "receipts", "tickets", "orders", "quantity", "units", "demand",
)  # fmt: skip
CUSTOMERS = (
    "customers", "visitors", "visits", "guests", "covers", "footfall", "kunden", "besucher", "clientes", "clients",
    "visiteurs", "clienti", "klanten", "来客", "客数", "顾客", "고객", "посетит", "покупател",
)  # fmt: skip
STORES = (
    "store", "shop", "outlet", "branch", "restaurant", "site", "location", "filiale", "markt", "laden", "magasin",
    "boutique", "tienda", "sucursal", "loja", "negozio", "winkel", "sklep", "店", "매장", "магазин", "place",
)  # fmt: skip
DATES = (
    "date", "day", "datum", "tag", "fecha", "dia", "data", "jour", "giorno", "日付", "年月日", "日期", "날짜", "дата",
)  # fmt: skip
OPEN = (
    "open", "opened", "geöffnet", "offen", "ouvert", "abierto", "aberto", "aperto", "営業", "营业", "영업", "открыт",
)  # fmt: skip
PROMOTIONS = (
    "promo", "promotion", "onpromotion", "campaign", "discount", "aktion", "promoción", "promocion", "oferta", "rabatt",
    "promoção", "promocao", "promozione", "menu", "特売", "促销", "행사", "акци",
)  # fmt: skip
SCHOOL_HOLIDAYS = ("schoolholiday", "school_holiday", "schulferien", "ferien", "vacances", "vacaciones", "férias")
COVARIATES = (
    *PROMOTIONS, *SCHOOL_HOLIDAYS, "holiday", "feiertag", "feriado", "festivo", "férié", "weather", "wetter", "event",
    "price", "preis", "temperature", "booking", "bookings", "reservation", "reservations", "祝日",
)  # fmt: skip
HOLIDAY_NAMES = (
    "holiday", "description", "name", "event", "feiertag", "bezeichnung", "nombre", "descripcion", "descripción", "nom",
    "festivo", "feriado", "nome", "祝日", "名称",
)  # fmt: skip
_WORD_IN_NAME = 4  # letters of a word that may also be a part of a longer one


def rank(name: str, words: tuple[str, ...]) -> int:
    """The position in `words` of the first one that the name consists of or contains; their number if none does."""
    parts = set(plain_name(name).split("_"))
    lower = name.lower()
    for position, word in enumerate(words):
        is_long = len(word) >= _WORD_IN_NAME or not word.isascii()
        if word in parts or (is_long and word in lower):
            return position
    return len(words)


def matches(name: str, words: tuple[str, ...]) -> bool:
    """Whether the name contains one of the words."""
    return rank(name, words) < len(words)


def covariate_name(column: str) -> str:
    """The name of a covariate in chain.toml: `promo` and `school_holiday` have features of their own.

    Never one of RESERVED_NAMES.
    """
    if matches(column, SCHOOL_HOLIDAYS):
        return "school_holiday"
    if matches(column, PROMOTIONS):
        return "promo"
    name = plain_name(column)
    return f"{name}_value" if name in RESERVED_NAMES else name


def plain_name(column: str) -> str:
    """The name in small letters with underscores: store_type for StoreType."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column)).strip("_").lower()
