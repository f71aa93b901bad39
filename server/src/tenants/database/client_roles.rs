//! The roles of clients, as which the role of the server asks the policies.

use sqlx::PgConnection;

/// The statement without which the role of the connection may not act as one of them. A member may not act as a role since
/// PostgreSQL 16 unless it has that option.
const MISSING_GRANT: &str = "
    SELECT pg_catalog.format('GRANT %s TO %I', pg_catalog.string_agg(rolname::text, ', ' ORDER BY rolname), current_user)
    FROM pg_catalog.pg_roles
    WHERE rolname IN ('anon', 'authenticated', 'service_role') AND NOT pg_catalog.pg_has_role(oid,
        CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
    HAVING pg_catalog.count(*) > 0";

/// What the role of the connection lacks to act as the roles of clients that exist, whose policies it cannot ask otherwise:
/// a sentence with the statement that permits it.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn missing_grant(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let grant: Option<String> = sqlx::query_scalar(MISSING_GRANT).fetch_optional(connection).await?;
    Ok(grant.map(|grant| {
        format!(
            "the role of the connection may not act as the roles of clients, who are refused in private rooms and receive no changes of tables; it needs `{grant}`"
        )
    }))
}
