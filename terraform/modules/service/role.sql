-- The role of the server. Run by the owner of the database before each migration; what is there already stays, but for the password,
-- which is always that of the secret.
\getenv role ROLE
\getenv password ROLE_PASSWORD
\getenv database PGDATABASE

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

-- CREATEROLE is for the roles of clients (anon, authenticated, service_role), which the first join of a private room makes.
ALTER ROLE :"role" LOGIN CREATEROLE PASSWORD :'password';

-- REPLICATION as RDS has it: messages from SQL and changes of tables are read from the write-ahead log.
GRANT rds_replication TO :"role";

-- The schemas _realtime and realtime, and the table of documents.
GRANT CREATE, CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
GRANT CREATE, USAGE ON SCHEMA public TO :"role";
