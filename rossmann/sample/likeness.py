"""How near one world comes to another."""

import numpy as np
import pandas as pd

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def statistics(train: pd.DataFrame) -> dict[str, float]:
    """What makes a chain this chain, from the rows of a train.csv; worlds are laid beside each other by it.

    Indices are relative to the mean sales of all selling days, months to that of whole years. Noise is the
    log residual to the store's median of the same weekday and promo.
    """
    date = pd.to_datetime(train["Date"])
    selling = train.assign(Date=date)[train["Sales"] > 0]
    sales, logs = selling["Sales"], np.log(selling["Sales"])
    cell = [selling["Store"], selling["DayOfWeek"], selling["Promo"]]
    noise = logs - logs.groupby(cell).transform("median")
    weekdays = sales.groupby(selling["DayOfWeek"]).mean() / sales.mean()
    on_week = selling["DayOfWeek"] < 6
    by_promo = sales[on_week].groupby(selling["Promo"]).mean()
    years = selling["Date"] < date.min() + pd.DateOffset(years=(date.max() - date.min()).days // 365)
    months = sales[years].groupby(selling["Date"].dt.month).mean() / sales[years].mean()
    spend = sales / selling["Customers"]
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
        "sales per selling day": sales.mean(),
        "spread of stores (sd of mean log sales)": logs.groupby(selling["Store"]).mean().std(),
        "customers per selling day": selling["Customers"].mean(),
        "spend per customer": spend.mean(),
        "promo uplift (Mon-Fri)": by_promo[1] / by_promo[0],
        "noise (sd)": noise.std(),
        "noise, robust (1.48 MAD)": 1.4826 * (noise - noise.median()).abs().median(),
        "noise, excess kurtosis": noise.kurt(),
        "noise shared by all stores (sd of its daily mean)": noise.groupby(selling["Date"]).mean().std(),
        **{f"weekday {name}": weekdays.get(i + 1, np.nan) for i, name in enumerate(WEEKDAYS)},
        **{f"month {month}": months.get(month, np.nan) for month in range(1, 13)},
    }
