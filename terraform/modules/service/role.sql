-- The role of the server. Run by the owner of the database before each migration (role.sh); what is there already stays, but for the
-- password, which is always that of the secret.
\getenv role ROLE
\getenv database PGDATABASE

-- Two at once would fail.
DO $$ BEGIN PERFORM pg_advisory_lock(hashtext('role of the server')); END $$;

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

-- CREATEROLE is for the roles of clients (anon, authenticated, service_role), which the first join of a private room makes.
ALTER ROLE :"role" LOGIN CREATEROLE;

-- It is read from the standard input, twice, and psql sends a verifier: the log and the statistics of PostgreSQL have statements in them.
\password :"role"

-- REPLICATION as RDS has it: messages from SQL and changes of tables are read from the write-ahead log.
GRANT rds_replication TO :"role";

-- The schemas _realtime and realtime, and the table of documents.
GRANT CREATE, CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
GRANT CREATE, USAGE ON SCHEMA public TO :"role";
