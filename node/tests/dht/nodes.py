"""A DHT of libtorrent nodes on 127.0.0.1, and a libtorrent node that reads and writes items in it.

Prints {"nodes": ["127.0.0.1:PORT", ...]} once they know each other, then answers each line of JSON on stdin with one:
  {"put": SEED, "key": PUBLIC, "salt": SALT, "value": VALUE}  bytes in hex; gives {"stored": how often, "seq": number}
  {"get": PUBLIC, "salt": SALT}                               gives {"value", "seq", "signature"}, or {}
It ends with its stdin.
"""

import hashlib
import json
import sys
import time

import libtorrent

NODES = 8
ENTRANCES = 3
PATIENCE_S = 20


def session(entrances):
    return libtorrent.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "dht_bootstrap_nodes": ",".join(entrances),
            # All nodes have one address here.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_ignore_dark_internet": False,
            "dht_prefer_verified_node_ids": False,
            "dht_upload_rate_limit": 1_000_000,
            "dht_block_ratelimit": 1_000_000,
            "alert_mask": libtorrent.alert.category_t.dht_notification,
        }
    )


def soon(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"libtorrent: {what} took more than {PATIENCE_S} s")
        time.sleep(0.1)


def network():
    sessions, addresses = [], []
    for _ in range(NODES):
        new = session(addresses[:ENTRANCES])
        soon(new.listen_port, "opening a port")
        sessions.append(new)
        addresses.append(f"127.0.0.1:{new.listen_port()}")
    for one in sessions:
        for other in sessions:
            if one is not other:
                one.add_dht_node(("127.0.0.1", other.listen_port()))
    soon(lambda: stores(sessions[-1]) >= ENTRANCES, "getting to know each other")
    return sessions, addresses


def alerts(one, kind, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        for alert in one.pop_alerts():
            if isinstance(alert, kind):
                yield alert
        time.sleep(0.01)


def stores(one):
    """How many nodes take an item now."""
    one.dht_put_immutable_item("ready")
    for alert in alerts(one, libtorrent.dht_put_alert):
        return alert.num_success
    return 0


def expanded(seed):
    """The private key as libtorrent takes it (RFC 8032, section 5.1.5)."""
    private = bytearray(hashlib.sha512(seed).digest())
    private[0] &= 0xF8
    private[31] = private[31] & 0x3F | 0x40
    return bytes(private)


def put(one, request):
    seed, key, salt, value = (
        bytes.fromhex(request[name]) for name in ("put", "key", "salt", "value")
    )
    one.dht_put_mutable_item(expanded(seed), key, value, salt)
    for alert in alerts(one, libtorrent.dht_put_alert):
        if alert.public_key == key:
            return {"stored": alert.num_success, "seq": alert.seq}
    return {"stored": 0}


def found(one, key, salt, patience_s):
    for alert in alerts(one, libtorrent.dht_mutable_item_alert, patience_s):
        try:
            item = alert.item
        except RuntimeError:  # that of an item without value
            return None
        if (item["key"], item["salt"]) == (key, salt):
            return item
    return None


def get(one, request):
    key, salt = bytes.fromhex(request["get"]), bytes.fromhex(request["salt"])
    one.dht_get_mutable_item(key, salt)
    item = found(one, key, salt, PATIENCE_S)
    # The search goes on until all have answered or 15 s are over, and newer items come as they are found.
    while newer := item and found(one, key, salt, 0.3):
        item = newer
    if not item:
        return {}
    return {
        "value": item["value"].hex(),
        "seq": item["seq"],
        "signature": item["signature"].hex(),
    }


def main():
    sessions, addresses = network()
    print(json.dumps({"nodes": addresses}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = put(sessions[-1], request) if "put" in request else get(sessions[-1], request)
        print(json.dumps(answer), flush=True)


main()
