-- A comparison of a filter, as upstream's realtime.check_equality_op makes it: values are literals of a type, and compared with the
-- collation of the database. 1: the value of the row, 2: that of the filter, 3: their type, 4: a keyword.
'(' || pg_catalog.format(CASE v ->> 'operator'
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
    END,
    v ->> 'row', v ->> 'value', t.name,
    CASE WHEN v ->> 'value' IN ('null', 'true', 'false', 'unknown') THEN v ->> 'value' END) || ')'
