//! What Supabase Realtime is documented to do for each change and subscription, in SQL and without a server.

use std::time::Instant;

use anyhow::Result;

use crate::session::Session;

const ALGORITHM: &str = include_str!("documented.sql");

/// Adds the algorithm and so many subscriptions to `private_notes`, each with the claims of a user of its own.
pub fn install(session: &mut Session, subscriptions: usize, user: &str) -> Result<()> {
    session.run(ALGORITHM)?;
    session.run(&format!(
        "INSERT INTO documented.subscription (entity, claims, claims_role)
         SELECT 'private_notes', jsonb_build_object('sub', {user}, 'role', 'authenticated', 'aud', 'authenticated',
             'iat', 1700000000 + n, 'exp', 1700003600 + n), 'authenticated'
         FROM generate_series(0, {last}) AS n;
         ANALYZE documented.subscription, private_notes",
        last = subscriptions - 1
    ))
}

/// Milliseconds for each of the first rows. Each has to be visible to one subscription.
pub fn milliseconds_each(session: &mut Session, rows: usize) -> Result<f64> {
    let from = Instant::now();
    session.run(&format!(
        "DO $$ BEGIN ASSERT documented.apply_rls('private_notes', 0, {last}) = {rows}; END $$",
        last = rows - 1
    ))?;
    Ok(from.elapsed().as_secs_f64() * 1e3 / rows as f64)
}
