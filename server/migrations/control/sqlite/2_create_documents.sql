-- The tenant is '' for the default tenant.
CREATE TABLE documents (
    tenant TEXT NOT NULL,
    room_id TEXT NOT NULL,
    doc_id TEXT NOT NULL,
    state BLOB NOT NULL,
    updated_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant, room_id, doc_id)
) STRICT;
CREATE TABLE document_updates (
    -- Not given again when the rows with the greatest ones are deleted: a compaction that has read them would delete later ones.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    room_id TEXT NOT NULL,
    doc_id TEXT NOT NULL,
    "update" BLOB NOT NULL,
    user_id TEXT,
    created_at TEXT NOT NULL
) STRICT;
-- In it the rows of a document are in the order of their ids.
CREATE INDEX document_updates_by_document ON document_updates (tenant, room_id, doc_id);
