-- The rows of a document are next to each other: a compaction reads and deletes a few pages of the file, and not one for every row.
CREATE TABLE ordered_updates (
    tenant TEXT NOT NULL,
    room_id TEXT NOT NULL,
    doc_id TEXT NOT NULL,
    id INTEGER NOT NULL,
    "update" BLOB NOT NULL,
    user_id TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant, room_id, doc_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO ordered_updates (tenant, room_id, doc_id, id, "update", user_id, created_at)
    SELECT tenant, room_id, doc_id, id, "update", user_id, created_at FROM document_updates;
-- A server takes a block of 2^32 ids for itself: none is given again when the rows with the greatest ones are deleted. A compaction
-- that has read them would delete later ones.
CREATE TABLE document_update_ids (blocks INTEGER NOT NULL) STRICT;
INSERT INTO document_update_ids
    SELECT 1 + (coalesce(max(seq), 0) >> 32) FROM sqlite_sequence WHERE name = 'document_updates';
DROP TABLE document_updates;
ALTER TABLE ordered_updates RENAME TO document_updates;
