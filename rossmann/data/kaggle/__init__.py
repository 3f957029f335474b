"""The file format of Kaggle's competition. Kaggle's column names exist only in this package."""
