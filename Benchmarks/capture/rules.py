"""The rulesets that are compared, in the shape of Weft's own: sets, one rule for each cgroup level, exclusions before the cgroups."""

OWN, SPOOF, CAPTURED, MASK = 0x0100_0000, 0x0200_0000, 0x0300_0000, 0x0300_0000
KEEP = 0xFFFF_FFFF ^ MASK
OUTBOUND, INBOUND, TABLE = 16001, 16006, 16001

OUTBOUND_MODES = ("direct", "redirect", "redirect-sockopt", "tproxy", "tproxy-cgroup", "tproxy-notrack")
INBOUND_MODES = ("direct", "redirect", "redirect-sockopt", "tproxy", "tproxy-opening", "tproxy-notrack")


def marked(value, what="meta"):
    return f"{what} mark & {MASK:#x} == {value:#x}"


def mark(value, what="meta"):
    return f"{what} mark set {what} mark & {KEEP:#x} | {value:#x}"


OPENING = "tcp flags & (fin|syn|rst|ack) == syn"
EXISTING = "meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn"
EXCLUSIONS = """
    tcp dport @excluded-ports return
    ip daddr @excluded-v4 return
    ip6 daddr @excluded-v6 return"""
# As in Weft's persistent table: connections are followed and addresses translated in every mode, whatever else is there.
COMMON = f"""
table inet weft-guard {{
  chain output {{ type filter hook output priority 0; ct state != new return; }}
  chain translation {{ type nat hook output priority 300; }}
}}"""
SPOOFED = f"""
    {marked(SPOOF)} {mark(SPOOF, 'ct')} return
    {marked(SPOOF, 'ct')} ct direction reply {mark(SPOOF)}"""
ALWAYS = "\n    ip daddr 240.240.0.0/16 goto capture\n    ip6 daddr fd77:6566:7400::/48 goto capture"
TO_RELAY = f"""
    iifname lo {marked(CAPTURED)} meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:{OUTBOUND} accept
    iifname lo {marked(CAPTURED)} meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:{OUTBOUND} accept"""
# Says what happens without a relay instead of leaving it to the kernel, which cannot answer from an address that is not its own.
NO_RELAY = f"\n    iifname lo {marked(CAPTURED)} drop"


def levels(statement):
    return "".join(f"\n    socket cgroupv2 level {level} @cgroups meta l4proto tcp {statement}" for level in range(1, 9))


def policies(seconds):
    """Timeout policies for flows that are captured. They stay on this host, so no late packet needs a long TIME_WAIT."""
    policy = f"established : {seconds}, fin_wait : {seconds}, close_wait : {seconds}, time_wait : 5"
    return "".join(f"  ct timeout {name} {{ protocol tcp; l3proto {family}; policy = {{ {policy} }}; }}\n"
                   for name, family in (("hold4", "ip"), ("hold6", "ip6")))


def held(match):
    return "".join(f"\n    meta nfproto {family} {match} ct timeout set \"{name}\""
                   for family, name in (("ipv4", "hold4"), ("ipv6", "hold6")))


def chain(name, head, body):
    return f"  chain {name} {{\n    {head}{body}\n  }}\n"


def table(sets, chains, owner=False):
    flags = "  flags owner;\n" if owner else ""
    return f"{COMMON}\ntable inet weft {{\n{flags}{sets}{''.join(chains)}}}\n"


def outbound(mode, cgroups, loopback=False, owner=False, keep=None, refuse=True):
    """Captures connections of the cgroups (paths below the root that nft sees). `keep`: seconds of a timeout policy for captured flows."""
    if mode == "direct":
        return COMMON
    paths = ", ".join(f'"{path}"' for path in cgroups)
    sets = f"""  set cgroups {{ typeof socket cgroupv2 level 1; elements = {{ {paths} }}; }}
  set excluded-ports {{ type inet_service; elements = {{ 22 }}; }}
  set excluded-v4 {{ type ipv4_addr; flags interval; }}
  set excluded-v6 {{ type ipv6_addr; flags interval; elements = {{ fe80::/10 }}; }}
"""
    local = "" if loopback else "\n    fib daddr type local return"
    if loopback:
        local = f"\n    tcp dport {{ {OUTBOUND}, {INBOUND} }} fib daddr type local return"
    own, spoofs = f"\n    {marked(OWN)} return", f"\n    {marked(SPOOF)} return"
    opening = f"\n    {EXISTING} return"
    if mode.startswith("redirect"):
        to = f"redirect to :{OUTBOUND}"
        captures = [chain("capture", "", levels(to))]
        if keep:
            # A policy is of one family.
            sets += policies(keep)
            captures = [chain("capture4", "", levels(f'ct timeout set "hold4" {to}')), chain("capture6", "", levels(f'ct timeout set "hold6" {to}')),
                        chain("capture", "", "meta nfproto ipv4 goto capture4\n    goto capture6")]
        return table(sets, captures + [
            chain("marks", "type route hook output priority -150;", SPOOFED),
            chain("output", "type nat hook output priority -100;", own + spoofs + opening + ALWAYS + EXCLUSIONS + local + "\n    goto capture"),
        ], owner)
    hold = ""
    if keep:
        sets += policies(keep)
        hold = chain("hold", "type filter hook output priority -149;", held(f"{OPENING} {marked(CAPTURED, 'ct')}"))
    incoming = chain("incoming", "type filter hook prerouting priority -150;", TO_RELAY + (NO_RELAY if refuse else ""))
    if mode == "tproxy":
        # The first packet's cgroup decides; conntrack remembers it for all later ones.
        known = f"\n    {marked(CAPTURED, 'ct')} ct direction original {mark(CAPTURED)} accept"
        return table(sets, [
            chain("capture", "", levels(f"{mark(CAPTURED, 'ct')} {mark(CAPTURED)} accept")),
            chain("marks", "type route hook output priority -150;",
                  own + SPOOFED + known + opening + ALWAYS + EXCLUSIONS + local + "\n    goto capture"),
            hold, incoming,
        ], owner)
    if mode == "tproxy-cgroup":
        # Every packet's cgroup decides. What the kernel sends for a socket that is closed has none.
        return table(sets, [
            chain("capture", "", levels(f"{mark(CAPTURED)} accept")),
            chain("marks", "type route hook output priority -150;", own + SPOOFED + ALWAYS + EXCLUSIONS + local + "\n    goto capture"),
            incoming,
        ], owner)
    if mode in ("tproxy-notrack", "tproxy-untracked"):
        upstream = "\n    socket mark & {:#x} == {:#x} notrack".format(MASK, OWN) if mode == "tproxy-untracked" else ""
        answers = f"\n    {marked(OWN)} notrack return" if mode == "tproxy-untracked" else f"\n    {marked(OWN)} oifname lo notrack return{own}"
        return table(sets, [
            chain("capture", "", levels(f"{mark(CAPTURED)} notrack accept")),
            chain("untracked", "type route hook output priority -300;", answers + spoofs + ALWAYS + EXCLUSIONS + local + "\n    goto capture"),
            chain("replies", "type filter hook prerouting priority -300;", upstream),
            chain("marks", "type route hook output priority -150;", SPOOFED),
            incoming,
        ], owner)
    raise ValueError(mode)


def inbound(mode, endpoints, owner=False, keep=None, lead_back=True):
    """Captures connections from elsewhere to endpoints of this host: pairs of address and port."""
    mark_chain = chain("marks", "type route hook output priority -150;", SPOOFED if lead_back else "")
    if mode == "direct":
        return COMMON
    pairs = {4: [], 6: []}
    for address, port in endpoints:
        pairs[6 if ":" in address else 4].append(f"{address} . {port}")
    sets = ""
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        listed = f" elements = {{ {', '.join(pairs[version])} }};" if pairs[version] else ""
        sets += f"  set endpoints-v{version} {{ type {kind} . inet_service;{listed} }}\n"
    own = f"\n    {marked(OWN)} return\n    {marked(SPOOF)} return"
    # A redirect in prerouting never gets what came over lo: it has been through the output hook. TPROXY would.
    elsewhere = "\n    iifname lo return"
    either = (("ip", "endpoints-v4"), ("ip6", "endpoints-v6"))
    chains = [mark_chain]
    if keep:
        sets += policies(keep)
        chains += [
            chain("hold", "type filter hook prerouting priority -149;", own + "".join(
                f"\n    {OPENING} {ip} daddr . tcp dport @{s} ct timeout set \"{name}\"" for (ip, s), name in zip(either, ("hold4", "hold6")))),
            # The connection to the application, whose answers need the entry's mark.
            chain("held", "type filter hook output priority -149;", held(f"{OPENING} {marked(SPOOF)}")),
        ]
    if mode.startswith("redirect"):
        return table(sets, chains + [chain("prerouting", "type nat hook prerouting priority -100;", own + f"\n    {EXISTING} return" + "".join(
            f"\n    {ip} daddr . tcp dport @{s} redirect to :{INBOUND}" for ip, s in either))], owner)
    tproxies = "".join(
        f"\n    {OPENING + ' ' if mode == 'tproxy-opening' else ''}{ip} daddr . tcp dport @{s} tproxy {ip} to {to}:{INBOUND} accept"
        for (ip, s), to in zip(either, ("127.0.0.1", "[::1]")))
    chains.append(chain("prerouting", "type filter hook prerouting priority -148;", elsewhere + tproxies))
    if mode == "tproxy-notrack":
        chains += [
            chain("untracked", "type filter hook prerouting priority -300;", elsewhere + "".join(
                f"\n    {ip} daddr . tcp dport @{s} notrack" for ip, s in either)),
            chain("answers", "type filter hook output priority -300;", "".join(
                f"\n    {marked(OWN)} oifname != lo {ip} saddr . tcp sport @{s} notrack" for ip, s in either)),
        ]
    return table(sets, chains, owner)
