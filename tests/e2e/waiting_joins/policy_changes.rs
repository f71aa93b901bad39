//! What has changed for a tenant while a join waits, and once its channels are joined.

use std::sync::Arc;

use realtime_server::auth::Rights;

use super::gate::Gate;
use super::world;

#[tokio::test]
async fn what_has_changed_during_the_wait_is_checked_again() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-public","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-private","phx_join",{"config":{"private":true}}]
        ann > ["3","3","realtime:wait-token","phx_join",{"config":{"private":true}}]
        ann is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.tenants.entry("default".into()).or_default().private_only = true);
    gate.decide("wait-public", Ok(Rights::ALL));
    room.check(r#"ann < ["1","1","realtime:wait-public","phx_reply",{"status":"error","response":{"reason":"PrivateOnly: This project only allows private channels"}}]"#).await;
    gate.decide("wait-private", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-private","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.auth.jwt_secret = Some("another secret".into()));
    room.check(
        r#"
        ann < ["2",null,"realtime:wait-private","system",{"status":"error","extension":"system","message":"The key that signed this token is no longer accepted","channel":"wait-private"}]
        ann < ["2","2","realtime:wait-private","phx_error",{"reason":"channel_crash"}]
        "#,
    )
    .await;
    gate.decide("wait-token", Ok(Rights::ALL));
    room.check(r#"ann < ["3","3","realtime:wait-token","phx_reply",{"status":"error","response":{"reason":"JwtKeyRevoked: The key that signed this token is no longer accepted"}}]"#).await;
    world.stop().await;
}

// A public channel ends when its tenant allows none any more, a private one stays.
#[tokio::test]
async fn private_channels_stay_when_public_ones_end() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann joins realtime:public
        ann joins realtime:private {"private":true}
        bob joins realtime:private {"private":true}
        # A public room of the same name is another room.
        carl joins realtime:private
        ann > ["2","3","realtime:private","broadcast",{"event":"hi"}]
        bob < [null,null,"realtime:private","broadcast",{"event":"hi"}]
        carl is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.tenants.entry("default".into()).or_default().private_only = true);
    room.check(
        r#"
        ann < ["1",null,"realtime:public","system",_]
        ann < ["1","1","realtime:public","phx_close",{}]
        ann, bob are quiet
        ann > ["2","4","realtime:private","broadcast",{"event":"again"}]
        bob < [null,null,"realtime:private","broadcast",{"event":"again"}]
        "#,
    )
    .await;
    world.stop().await;
}
