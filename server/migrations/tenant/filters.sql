-- Values of changed rows, and the filters of subscriptions on them. Types are written with their schema and without a length:
-- `character` alone would be one character, and a name alone depends on the `search_path`.

-- IMMUTABLE, though a role can be dropped: a generated column needs that.
CREATE FUNCTION realtime.to_regrole(role_name text) RETURNS regrole
LANGUAGE sql IMMUTABLE AS $$
    -- Quoted, because a role in a token is a name as it is, and not an identifier of SQL or an oid.
    SELECT pg_catalog.quote_ident(role_name)::regrole;
$$;

-- A value of a type, given as text, as JSON.
CREATE FUNCTION realtime."cast"(val text, type_ regtype) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    type_name constant text := (
        SELECT pg_catalog.format('%I.%I', n.nspname, t.typname)
        FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.oid = type_);
    converted jsonb;
BEGIN
    -- Hexadecimal digits without `\x`, which are no bytea in this form.
    IF type_ = 'pg_catalog.bytea'::regtype THEN
        RETURN pg_catalog.to_jsonb(val);
    END IF;
    EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(%L::%s)', val, type_name) INTO converted;
    RETURN converted;
END
$$;

-- Whether an operator holds between two values of a type, given as text. NULL if one of them is null, as in SQL.
CREATE FUNCTION realtime.check_equality_op(
    op realtime.equality_op, type_ regtype, val_1 text, val_2 text, negate boolean
) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    type_name constant text := (
        SELECT pg_catalog.format('%I.%I', n.nspname, t.typname)
        FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.oid = type_);
    -- 1: the first value, 2: the second one, 3: their type, 4: a keyword.
    comparison constant text := CASE op
        WHEN 'eq' THEN '%1$L::%3$s = %2$L::%3$s'
        WHEN 'neq' THEN '%1$L::%3$s <> %2$L::%3$s'
        WHEN 'lt' THEN '%1$L::%3$s < %2$L::%3$s'
        WHEN 'lte' THEN '%1$L::%3$s <= %2$L::%3$s'
        WHEN 'gt' THEN '%1$L::%3$s > %2$L::%3$s'
        WHEN 'gte' THEN '%1$L::%3$s >= %2$L::%3$s'
        WHEN 'in' THEN '%1$L::%3$s = ANY (%2$L::%3$s[])'
        WHEN 'like' THEN '%1$L::%3$s LIKE %2$L'
        WHEN 'ilike' THEN '%1$L::%3$s ILIKE %2$L'
        WHEN 'match' THEN '%1$L::%3$s ~ %2$L'
        WHEN 'imatch' THEN '%1$L::%3$s ~* %2$L'
        WHEN 'is' THEN '%1$L::%3$s IS %4$s'
        WHEN 'isdistinct' THEN '%1$L::%3$s IS DISTINCT FROM %2$L::%3$s'
    END;
    keyword constant text := CASE WHEN val_2 IN ('null', 'true', 'false', 'unknown') THEN val_2 END;
    holds boolean;
BEGIN
    IF op = 'is' AND keyword IS NULL THEN
        RAISE EXCEPTION 'invalid value for is filter: must be null, true, false, or unknown';
    END IF;
    EXECUTE 'SELECT ' || pg_catalog.format(comparison, val_1, val_2, type_name, keyword) INTO holds;
    RETURN CASE WHEN negate THEN NOT holds ELSE holds END;
END
$$;

CREATE FUNCTION realtime.check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT realtime.check_equality_op(op, type_, val_1, val_2, false);
$$;

-- Whether a row passes all filters. One on a column that the row does not have, or on NULL, does not pass, negated or not.
CREATE FUNCTION realtime.is_visible_through_filters(
    columns realtime.wal_column[], filters realtime.user_defined_filter[]
) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(pg_catalog.bool_and(passes), true)
    FROM (
        SELECT coalesce(CASE WHEN c.name IS NOT NULL THEN realtime.check_equality_op(
            f.op, coalesce(c.type_oid::regtype, c.type_name::regtype), c.value #>> '{}', f.value, f.negate) END, false)
        FROM pg_catalog.unnest(filters) AS f
        LEFT JOIN pg_catalog.unnest(columns) AS c ON c.name = f.column_name
    ) AS checked (passes);
$$;
