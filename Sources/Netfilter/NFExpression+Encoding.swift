import CNetfilter
import Glibc

extension NFExpression {
    /// The kernel's name of the expression.
    private var kernelName: String {
        switch self {
        case .meta, .setMeta: "meta"
        case .payload: "payload"
        case .conntrack, .setConntrack: "ct"
        case .socket: "socket"
        case .compare: "cmp"
        case .range: "range"
        case .bitwise: "bitwise"
        case .lookup: "lookup"
        case .load, .verdict: "immediate"
        case .redirect: "redir"
        case .tproxy: "tproxy"
        case .reject: "reject"
        case .counter: "counter"
        case .fib: "fib"
        case .limit: "limit"
        case .notrack: "notrack"
        case .object: "objref"
        case .foreign: preconditionFailure("a foreign expression can be read, not written")
        }
    }

    /// libnftnl's form; the caller gives it to a rule, which frees it.
    func encoded(in family: NFFamily) -> OpaquePointer {
        guard let expression = nftnl_expr_alloc(kernelName) else {
            preconditionFailure("libnftnl does not know the expression \(kernelName), or memory is out")
        }
        func number(_ attribute: Int, _ value: UInt32) { nftnl_expr_set_u32(expression, UInt16(attribute), value) }
        func bytes(_ attribute: Int, _ value: [UInt8]) { nftnl_expr_set(expression, UInt16(attribute), value, UInt32(value.count)) }
        switch self {
        case .meta(let key, let register):
            number(NFTNL_EXPR_META_KEY, key.rawValue)
            number(NFTNL_EXPR_META_DREG, register.number)
        case .setMeta(let key, let register):
            number(NFTNL_EXPR_META_KEY, key.rawValue)
            number(NFTNL_EXPR_META_SREG, register.number)
        case .payload(let header, let offset, let length, let register):
            number(NFTNL_EXPR_PAYLOAD_BASE, header.rawValue)
            number(NFTNL_EXPR_PAYLOAD_OFFSET, offset)
            number(NFTNL_EXPR_PAYLOAD_LEN, length)
            number(NFTNL_EXPR_PAYLOAD_DREG, register.number)
        case .conntrack(let key, let direction, let register):
            number(NFTNL_EXPR_CT_KEY, key.rawValue)
            if let direction { nftnl_expr_set_u8(expression, UInt16(NFTNL_EXPR_CT_DIR), direction.rawValue) }
            number(NFTNL_EXPR_CT_DREG, register.number)
        case .setConntrack(let key, let register):
            number(NFTNL_EXPR_CT_KEY, key.rawValue)
            number(NFTNL_EXPR_CT_SREG, register.number)
        case .socket(let key, let level, let register):
            number(NFTNL_EXPR_SOCKET_KEY, key.rawValue)
            number(NFTNL_EXPR_SOCKET_DREG, register.number)
            if key == .cgroup { number(NFTNL_EXPR_SOCKET_LEVEL, level) }
        case .compare(let register, let comparison, let value):
            number(NFTNL_EXPR_CMP_SREG, register.number)
            number(NFTNL_EXPR_CMP_OP, comparison.rawValue)
            bytes(NFTNL_EXPR_CMP_DATA, value)
        case .range(let register, let inverted, let from, let to):
            number(NFTNL_EXPR_RANGE_SREG, register.number)
            number(NFTNL_EXPR_RANGE_OP, inverted ? 1 : 0)
            bytes(NFTNL_EXPR_RANGE_FROM_DATA, from)
            bytes(NFTNL_EXPR_RANGE_TO_DATA, to)
        case .bitwise(let from, let into, let mask, let xor):
            number(NFTNL_EXPR_BITWISE_SREG, from.number)
            number(NFTNL_EXPR_BITWISE_DREG, into.number)
            number(NFTNL_EXPR_BITWISE_LEN, UInt32(mask.count))
            bytes(NFTNL_EXPR_BITWISE_MASK, mask)
            bytes(NFTNL_EXPR_BITWISE_XOR, xor)
        case .lookup(let set, let key, let inverted, let into):
            nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_LOOKUP_SET), set)
            number(NFTNL_EXPR_LOOKUP_SREG, key.number)
            if let into { number(NFTNL_EXPR_LOOKUP_DREG, into.number) }
            if inverted { number(NFTNL_EXPR_LOOKUP_FLAGS, 1) }
        case .load(let value, let register):
            number(NFTNL_EXPR_IMM_DREG, register.number)
            bytes(NFTNL_EXPR_IMM_DATA, value)
        case .verdict(let verdict):
            number(NFTNL_EXPR_IMM_DREG, NFRegister.verdict.number)
            number(NFTNL_EXPR_IMM_VERDICT, UInt32(bitPattern: verdict.code))
            if let chain = verdict.chain { nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_IMM_CHAIN), chain) }
        case .redirect(let port):
            if let port { number(NFTNL_EXPR_REDIR_REG_PROTO_MIN, port.number) }
        case .tproxy(let family, let address, let port):
            number(NFTNL_EXPR_TPROXY_FAMILY, family == .inet ? 0 : UInt32(family.rawValue))
            if let address { number(NFTNL_EXPR_TPROXY_REG_ADDR, address.number) }
            if let port { number(NFTNL_EXPR_TPROXY_REG_PORT, port.number) }
        case .reject(let reject):
            let (type, code) = reject.numbers(in: family)
            number(NFTNL_EXPR_REJECT_TYPE, type)
            nftnl_expr_set_u8(expression, UInt16(NFTNL_EXPR_REJECT_CODE), code)
        case .fib(let result, let flags, let register):
            number(NFTNL_EXPR_FIB_RESULT, result.rawValue)
            number(NFTNL_EXPR_FIB_FLAGS, flags.rawValue)
            number(NFTNL_EXPR_FIB_DREG, register.number)
        case .limit(let limit):
            nftnl_expr_set_u64(expression, UInt16(NFTNL_EXPR_LIMIT_RATE), limit.rate)
            nftnl_expr_set_u64(expression, UInt16(NFTNL_EXPR_LIMIT_UNIT), limit.unit.rawValue)
            number(NFTNL_EXPR_LIMIT_BURST, limit.burst)
            number(NFTNL_EXPR_LIMIT_TYPE, 0)
            number(NFTNL_EXPR_LIMIT_FLAGS, limit.over ? 1 : 0)
        case .object(let type, let name):
            number(NFTNL_EXPR_OBJREF_IMM_TYPE, type.rawValue)
            nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_OBJREF_IMM_NAME), name)
        case .counter, .notrack, .foreign: break
        }
        return expression
    }
}

extension NFVerdict {
    /// linux/netfilter.h (NF_DROP, NF_ACCEPT) and `enum nft_verdicts`.
    var code: Int32 {
        switch self {
        case .drop: 0
        case .accept: 1
        case .continue: -1
        case .jump: -3
        case .goto: -4
        case .return: -5
        }
    }
    var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        case .accept, .drop, .continue, .return: nil
        }
    }
    init?(code: Int32, chain: String?) {
        switch code {
        case 0: self = .drop
        case 1: self = .accept
        case -1: self = .continue
        case -3: self = .jump(chain ?? "")
        case -4: self = .goto(chain ?? "")
        case -5: self = .return
        default: return nil
        }
    }
}

extension NFReject {
    /// `enum nft_reject_types` and the code: `enum nft_reject_inet_code` in inet tables, else ICMP (RFC 792) or ICMPv6 (RFC 4443 §3.1).
    func numbers(in family: NFFamily) -> (type: UInt32, code: UInt8) {
        if self == .tcpReset { return (1, 0) }
        switch family {
        case .inet: return (2, [.noRoute: 0, .portUnreachable: 1, .hostUnreachable: 2, .prohibited: 3][self] ?? 1)
        case .ipv4: return (0, [.noRoute: 0, .portUnreachable: 3, .hostUnreachable: 1, .prohibited: 13][self] ?? 3)
        case .ipv6: return (0, [.noRoute: 0, .portUnreachable: 4, .hostUnreachable: 3, .prohibited: 1][self] ?? 4)
        }
    }
    init?(type: UInt32, code: UInt8, in family: NFFamily) {
        let all: [NFReject] = [.tcpReset, .portUnreachable, .hostUnreachable, .noRoute, .prohibited]
        guard let found = all.first(where: { $0.numbers(in: family) == (type, type == 1 ? 0 : code) }) else { return nil }
        self = found
    }
}
