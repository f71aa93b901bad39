# A kube-apiserver with its etcd, for the rung that sources this; both end with it, and keep nothing. There are no
# controllers: objects are checked and stored, and no pod ever starts.
# shellcheck shell=bash

work=$(mktemp -d)
export KUBECONFIG="$work/kubeconfig"
processes=()

tidy() {
    local process
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap tidy EXIT

kubectl() {
    "$CACHE/helm/3.17.2/kubectl" --request-timeout=10s "$@"
}

# In the shell of the rung, not in one of a check, so that it ends both.
start_cluster() {
    "$CACHE/kubernetes/etcd" --data-dir "$work/etcd" --log-level error --listen-peer-urls http://127.0.0.1:2380 \
        --unsafe-no-fsync >"$work/etcd.log" 2>&1 &
    processes+=($!)
    openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null
    echo 'secret,admin,1,system:masters' >"$work/tokens"
    # The machine has no address but that of the loopback interface here, which is none to publish.
    "$CACHE/kubernetes/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --cert-dir "$work/certificates" \
        --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --endpoint-reconciler-type none --secure-port 6443 \
        --service-cluster-ip-range 10.0.0.0/24 --token-auth-file "$work/tokens" --authorization-mode RBAC \
        --service-account-issuer https://localhost --service-account-key-file "$work/accounts.key" \
        --service-account-signing-key-file "$work/accounts.key" --disable-admission-plugins ServiceAccount \
        >"$work/apiserver.log" 2>&1 &
    processes+=($!)
    cat >"$KUBECONFIG" <<'CONFIG'
apiVersion: v1
kind: Config
clusters: [{ name: c, cluster: { server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true } }]
users: [{ name: u, user: { token: secret } }]
contexts: [{ name: x, context: { cluster: c, user: u } }]
current-context: x
CONFIG
}

cluster_is_ready() {
    within 60 kubectl get --raw /readyz || {
        tail -n 20 "$work/etcd.log" "$work/apiserver.log"
        return 1
    }
}
