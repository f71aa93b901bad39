//! New clients of the quiet tenant: one connects, joins and leaves twice a second, from an address of its own.
//!
//! What an attack holds all of, connections, descriptors or memory, those who are connected already need nothing of.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use harness::TokenIssuer;

use crate::nodes::Nodes;
use crate::quiet_tenant::connect;
use crate::target::{QUIET, secret_of};
use crate::verdict::Verdict;

const INTERVAL: Duration = Duration::from_millis(500);

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Of a hundred, as many may be refused: those that meet a connection being closed for them connect again.
const REFUSED_PERCENT_MAX: usize = 2;

/// They come until this is dropped.
#[derive(Debug)]
pub struct Newcomers(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    accepted: usize,
    refused: Vec<String>,
}

impl Newcomers {
    /// Begins.
    pub fn start(nodes: &Nodes) -> Newcomers {
        let found = Arc::new(Mutex::new(Found::default()));
        let (node, issuer) = (nodes.one.address(), TokenIssuer::new(secret_of(QUIET, &nodes.secret)));
        let shared = Arc::downgrade(&found);
        thread::spawn(move || {
            while let Some(found) = shared.upgrade() {
                come(&issuer, node, &found);
                drop(found);
                thread::sleep(INTERVAL);
            }
        });
        Newcomers(found)
    }

    /// Checks how many were refused.
    pub fn check(&self, verdict: &mut Verdict) {
        let found = lock(&self.0);
        let (refused, all) = (found.refused.len(), found.refused.len() + found.accepted);
        let holds = all > 0 && refused * 100 <= all * REFUSED_PERCENT_MAX;
        let reason = found.refused.first().map(|reason| format!(", the first: {reason}")).unwrap_or_default();
        let found = format!("{refused} of {all}{reason}");
        verdict.check("new clients of the quiet tenant that were refused", holds.into(), &found);
    }
}

fn come(issuer: &TokenIssuer, node: SocketAddr, found: &Mutex<Found>) {
    let result = connect(issuer, node, ADDRESS);
    let mut found = lock(found);
    match result {
        Ok(_) => found.accepted += 1,
        Err(error) => found.refused.push(format!("{error:#}").lines().next().unwrap_or_default().to_owned()),
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
