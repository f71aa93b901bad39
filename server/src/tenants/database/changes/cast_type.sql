    -- The type that values of the column `a` are cast to: without domains, whose checks are functions of their owners, and would run
    -- with the rights of the server. It is the base of a domain, or an array of the base of its elements, and has no length, to
    -- which values would be cut. Arrays whose elements are domains over arrays are as they are: no other type has such values.
    CROSS JOIN LATERAL (
        WITH RECURSIVE part (oid, is_element) AS (
            SELECT a.atttypid, false
            UNION ALL
            SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, part.is_element OR t.typtype <> 'd'
            FROM part
            JOIN pg_catalog.pg_type AS t ON t.oid = part.oid
            LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem
                AND t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
            WHERE t.typtype = 'd' OR e.typtype = 'd' AND NOT part.is_element
        )
        SELECT y.oid, pg_catalog.format('%I.%I', n.nspname, y.typname) AS name, y.typarray <> 0 AS has_arrays
        FROM part
        JOIN pg_catalog.pg_type AS t ON t.oid = part.oid
        LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem
            AND t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
        JOIN pg_catalog.pg_type AS y ON y.oid = CASE
            WHEN NOT part.is_element THEN t.oid WHEN t.typarray <> 0 THEN t.typarray ELSE a.atttypid END
        JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace
        WHERE t.typtype <> 'd' AND (part.is_element OR e.typtype IS DISTINCT FROM 'd')
    ) AS cast_type
