//! What roles may read of tables.

use sqlx::FromRow;
use sqlx::postgres::types::Oid;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;
use super::row_rights::{POLICIES, PolicySummary, RowRights};
use super::tables::{TABLES_PER_STATEMENT, TableShape};

/// What a role may read of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRights {
    /// Whether it may select them, of the columns that are not dropped, in order.
    pub selectable: Box<[bool]>,
    /// The rows that it may see.
    pub row_rights: RowRights,
    /// What the table consists of now.
    pub shape: TableShape,
}

#[derive(FromRow)]
struct RightsRow {
    table_oid: Oid,
    role: String,
    selectable: Vec<bool>,
    columns: Vec<i16>,
    primary_key: Vec<i16>,
    #[sqlx(flatten)]
    policies: PolicySummary,
}

impl TenantDatabase {
    /// What roles may read of tables: table, role, rights. A role or a table that does not exist is left out, and so is a role
    /// that the server may not take.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn table_rights(
        &self,
        tables: &[u32],
        roles: &[&str],
    ) -> Result<Vec<(u32, Box<str>, TableRights)>, DatabaseFailure> {
        let (mut rights, statement) = (Vec::new(), statement());
        // No role has a name with NUL, which no text in PostgreSQL can have.
        let roles: Vec<&str> = roles.iter().copied().filter(|role| !role.contains('\0')).collect();
        for tables in tables.chunks(TABLES_PER_STATEMENT) {
            let tables: Vec<Oid> = tables.iter().copied().map(Oid).collect();
            let rows: Vec<RightsRow> =
                ask(self, &(&*statement, tables, &roles), |connection, (statement, tables, roles)| {
                    Box::pin(sqlx::query_as(statement).bind(tables).bind(*roles).fetch_all(connection))
                })
                .await?;
            rights.extend(rows.into_iter().map(|row| {
                let selectable = row.selectable.into();
                let row_rights = row.policies.rights();
                let shape = TableShape { columns: row.columns.into(), primary_key: row.primary_key.into() };
                (row.table_oid.0, row.role.into(), TableRights { selectable, row_rights, shape })
            }));
        }
        Ok(rights)
    }
}

/// Row level security does not apply to superusers, to roles with BYPASSRLS, and, unless it is forced, to roles that have the
/// rights of the owner, as PostgreSQL decides it (`check_enable_rls`).
fn statement() -> String {
    format!(
        "SELECT c.oid AS table_oid, r.rolname::text AS role,
            ARRAY(SELECT pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
                    AND pg_catalog.has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum) AS selectable,
            ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum) AS columns,
            ARRAY(SELECT k FROM pg_catalog.pg_index AS i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u (k, n)
                WHERE i.indrelid = c.oid AND i.indisprimary AND u.n <= i.indnkeyatts ORDER BY u.n) AS primary_key,
            c.relrowsecurity AND NOT (r.rolsuper OR r.rolbypassrls
                OR NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE')) AS applies,
            policies.*
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.pg_roles AS r CROSS JOIN LATERAL ({POLICIES}) AS policies
        WHERE c.oid = ANY ($1) AND r.rolname::text = ANY ($2) AND pg_catalog.pg_has_role(r.oid, 'MEMBER')"
    )
}
