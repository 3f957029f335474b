-- PostgreSQL's first start in compose.yaml; the journal's database is there by POSTGRES_DB.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
