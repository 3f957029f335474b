"""Names and columns of Kaggle's files, and the names of these columns in our schema."""

from rossmann.data.csv_parsing import CELL_TYPES, NUMBERS, TEXT, codes
from rossmann.schema import ACTUAL_COLUMNS, ASSORTMENTS, CALENDAR_COLUMNS, FLAG_COLUMNS, KEYS, STORE_TYPES

TRAIN_FILE, STORE_FILE, TEST_FILE = "train.csv", "store.csv", "test.csv"

# Kaggle's name by the schema's, for the columns of days, plans and submissions.
KAGGLE_NAMES = {
    "id": "Id",
    "store": "Store",
    "day_of_week": "DayOfWeek",  # 1 Monday … 7 Sunday; only compared with the date
    "date": "Date",
    "sales": "Sales",
    "traffic": "Customers",
    "open": "Open",
    "promotion": "Promo",
    "holiday_kind": "StateHoliday",
    "school_break": "SchoolHoliday",
}

# Columns in the order of the files.
RAW_KEYS = tuple(KAGGLE_NAMES[name] for name in KEYS)
RAW_FLAGS = tuple(KAGGLE_NAMES[name] for name in FLAG_COLUMNS)
RAW_ACTUALS = tuple(KAGGLE_NAMES[name] for name in ACTUAL_COLUMNS)
_CALENDAR = tuple(KAGGLE_NAMES[name] for name in CALENDAR_COLUMNS)
RAW_PLAN_COLUMNS = ("Store", "DayOfWeek", "Date", *_CALENDAR)
TRAIN_COLUMNS = ("Store", "DayOfWeek", "Date", *RAW_ACTUALS, *_CALENDAR)
TEST_COLUMNS = ("Id", *RAW_PLAN_COLUMNS)
STORE_COLUMNS = (
    "Store", "StoreType", "Assortment", "CompetitionDistance", "CompetitionOpenSinceMonth",
    "CompetitionOpenSinceYear", "Promo2", "Promo2SinceWeek", "Promo2SinceYear", "PromoInterval",
)  # fmt: skip
SUBMISSION_COLUMNS = ("Id", "Sales")

KAGGLE_CELL_TYPES = {
    **{KAGGLE_NAMES[name]: cell_type for name, cell_type in CELL_TYPES.items()},
    **dict.fromkeys(STORE_COLUMNS, NUMBERS),
    "StoreType": codes(STORE_TYPES),
    "Assortment": codes(ASSORTMENTS, "basic, extra, extended"),
    "PromoInterval": TEXT,
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in PromoInterval
