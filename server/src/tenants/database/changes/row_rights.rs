//! Whether the policies of a table have to be asked which rows a role may see, and for whom separately.
//!
//! Only what follows from the catalog without doubt is a shortcut. Policies are asked for all claims unless their expressions,
//! as the catalog keeps them, consist of columns, constants, and built-in operators and functions that read no settings.

use sqlx::FromRow;

/// Which rows of a table a role may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowRights {
    /// All, for each client: there is no row level security, or it does not apply, or a policy allows everything.
    Everyone,
    /// None: no policy allows anything.
    Nothing,
    /// Those that the policies allow, which do not depend on claims: one lookup is right for all clients of the role.
    PerRole,
    /// Those that the policies allow, which may depend on claims.
    PerClaims,
}

/// Joined to `c`, a row of `pg_class`, and `r`, one of `pg_roles`: the policies that apply when the role selects rows. One
/// without an expression (`FOR ALL WITH CHECK`) allows none.
///
/// The names of nodes are those of `nodes/outfuncs`; none of them contains a subquery or a parameter. Functions are read by
/// their ids, of which those below 16384 are built in.
pub(super) const POLICIES: &str = r"
    SELECT
        coalesce(pg_catalog.bool_or(p.polpermissive), false) AS has_permissive,
        coalesce(pg_catalog.bool_or(p.polpermissive AND e.text = 'true'), false) AS allows_all,
        coalesce(pg_catalog.bool_or(NOT p.polpermissive AND e.text <> 'true'), false) AS has_restrictive,
        coalesce(pg_catalog.bool_and(NOT EXISTS (
            SELECT FROM pg_catalog.regexp_matches(p.polqual::text, '\{([A-Z]+)', 'g') AS node (name)
            WHERE node.name[1] <> ALL ('{VAR,CONST,BOOLEXPR,NULLTEST,BOOLEANTEST,OPEXPR,SCALARARRAYOPEXPR,
                DISTINCTEXPR,FUNCEXPR,RELABELTYPE,SQLVALUEFUNCTION,ARRAY,ARRAYEXPR}')
        ) AND NOT EXISTS (
            SELECT FROM pg_catalog.regexp_matches(p.polqual::text, ':(funcid|opfuncid) (\d+)', 'g') AS called (id)
            LEFT JOIN pg_catalog.pg_proc AS f ON f.oid = called.id[2]::pg_catalog.oid
            WHERE (f.oid < 16384 AND (f.provolatile = 'i' OR called.id[1] = 'opfuncid' AND f.provolatile = 's'
                OR f.proname IN ('now', 'transaction_timestamp', 'statement_timestamp'))) IS NOT TRUE
        )), true) AS is_free_of_claims
    FROM pg_catalog.pg_policy AS p
    CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS text) AS e
    WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
        AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS given (role)
            WHERE given.role = 0 OR pg_catalog.pg_has_role(r.oid, given.role, 'USAGE'))";

/// What the catalog says about the policies of a table for a role.
#[derive(FromRow)]
pub(super) struct PolicySummary {
    /// Row level security is enabled, and applies to the role.
    pub(super) applies: bool,
    has_permissive: bool,
    allows_all: bool,
    has_restrictive: bool,
    is_free_of_claims: bool,
}

impl PolicySummary {
    /// What follows from it.
    pub(super) fn rights(&self) -> RowRights {
        if !self.applies {
            RowRights::Everyone
        } else if !self.has_permissive {
            RowRights::Nothing
        } else if self.allows_all && !self.has_restrictive {
            RowRights::Everyone
        } else if self.is_free_of_claims {
            RowRights::PerRole
        } else {
            RowRights::PerClaims
        }
    }
}
