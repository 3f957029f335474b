-- The first start of PostgreSQL in compose.yaml runs this file; POSTGRES_DB creates the journal's database.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
