"""Statistics by which a sample chain is compared with the real one."""

import numpy as np
import pandas as pd

from rossmann.schema import WEEKDAY_NAMES


def chain_statistics(train: pd.DataFrame) -> dict[str, float]:
    """Characteristic numbers of a chain, from the rows of a train.csv.

    Weekdays and months are relative to the mean sales of all selling days, months to that of whole years. Noise is the
    log residual to the store's median of the same weekday and promo.
    """
    date = pd.to_datetime(train["Date"])
    selling = train.assign(Date=date)[train["Sales"] > 0]
    return {
        **_share_statistics(train, selling, date),
        **_sales_statistics(selling),
        **_season_statistics(selling, date),
    }


def _share_statistics(train: pd.DataFrame, selling: pd.DataFrame, date: pd.Series) -> dict[str, float]:
    stores, days = train["Store"].nunique(), date.nunique()
    return {
        "rows missing": 1 - len(train) / (stores * days),
        "stores with a gap": (train.groupby("Store").size() < days - 1).mean(),
        "zero-sales rows": (train["Sales"] == 0).mean(),
        "open rows without sales, per million": ((train["Sales"] == 0) & (train["Open"] == 1)).mean() * 1e6,
        "stores open on Sundays": selling.loc[selling["DayOfWeek"] == 7, "Store"].nunique() / stores,
        "promo days": train["Promo"].mean(),
        "school holidays": train["SchoolHoliday"].mean(),
        "state holidays": (train["StateHoliday"].astype(str) != "0").mean(),
    }


def _sales_statistics(selling: pd.DataFrame) -> dict[str, float]:
    sales, logs = selling["Sales"], np.log(selling["Sales"])
    noise = logs - logs.groupby([selling["Store"], selling["DayOfWeek"], selling["Promo"]]).transform("median")
    workdays = selling["DayOfWeek"] < 6
    by_promo = sales[workdays].groupby(selling["Promo"]).mean()
    return {
        "sales per selling day": sales.mean(),
        "spread of stores (sd of mean log sales)": logs.groupby(selling["Store"]).mean().std(),
        "customers per selling day": selling["Customers"].mean(),
        "sales per customer": (sales / selling["Customers"]).mean(),
        "promo uplift (Mon-Fri)": by_promo[1] / by_promo[0],
        "noise (sd)": noise.std(),
        "noise, robust (1.48 MAD)": 1.4826 * (noise - noise.median()).abs().median(),
        "noise, excess kurtosis": noise.kurt(),
        "noise shared by all stores (sd of its daily mean)": noise.groupby(selling["Date"]).mean().std(),
    }


def _season_statistics(selling: pd.DataFrame, date: pd.Series) -> dict[str, float]:
    sales = selling["Sales"]
    weekdays = sales.groupby(selling["DayOfWeek"]).mean() / sales.mean()
    whole_years = selling["Date"] < date.min() + pd.DateOffset(years=(date.max() - date.min()).days // 365)
    months = sales[whole_years].groupby(selling["Date"].dt.month).mean() / sales[whole_years].mean()
    return {
        **{f"weekday {name}": weekdays.get(i + 1, np.nan) for i, name in enumerate(WEEKDAY_NAMES)},
        **{f"month {month}": months.get(month, np.nan) for month in range(1, 13)},
    }
