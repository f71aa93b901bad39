//! Credentials of the settings that are tried before connections are opened with them.

use std::sync::Arc;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, RedisError};
use tokio::time::timeout;

use super::{Shared, server, stream};
use crate::bus::BusError;
use crate::new_credentials::{Trial, TrialError};

/// The errors of Redis that are about a user or a password. Others, such as one about too many clients, pass.
const REFUSALS: [&str; 3] = ["WRONGPASS", "NOAUTH", "NOPERM"];

impl Shared {
    /// Tries those that are offered. If Redis accepts them, connections are opened with them from then on.
    pub(super) async fn try_offered(&self) -> Option<Trial> {
        let connect = |url: Arc<String>| async move {
            let tried = timeout(self.timeout, self.try_server(&server_at(&url))).await;
            tried.unwrap_or(Err(TrialError::Unreachable))
        };
        let adopt = |url: &String| drop(self.server.send_replace(Arc::new(server_at(url))));
        self.new_credentials.try_offered(connect, adopt).await
    }

    /// Whether `server` can be connected to.
    async fn try_server(&self, server: &ConnectionInfo) -> Result<(), TrialError> {
        let opened = stream::connect(server.addr(), self.authorities.as_ref(), self.timeout).await;
        let (stream, _progress) = opened.map_err(|_unreachable| TrialError::Unreachable)?;
        let config = AsyncConnectionConfig::new();
        let connected = MultiplexedConnection::new_with_config(server.redis_settings(), stream, config).await;
        connected.map(drop).map_err(trial_error)
    }
}

fn server_at(url: &str) -> ConnectionInfo {
    server(url).expect("a reload refuses what is no address of a Redis")
}

fn trial_error(error: RedisError) -> TrialError {
    if error.code().is_some_and(|code| REFUSALS.contains(&code)) {
        TrialError::Refused(BusError::from(error).to_string())
    } else {
        TrialError::Unreachable
    }
}
