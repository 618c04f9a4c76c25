import Crypto
import FoundationEssentials
import MeshModel
import Platform
import SwiftASN1
import Testing
import X509

@testable import Identity

@Suite struct MeshAuthorityTests {
    @Test(arguments: ["spiffe://mesh.test/node/b", "spiffe://mesh.test/ns/shop/sa/web"])
    func `OpenSSL accepts what the authority issues, for both ends of TLS`(identity: String) throws {
        let scratch = Scratch()
        let authority = try MeshAuthority(creating: "mesh.test", now: .now())
        let key = PrivateKey()
        let leaf = try authority.issue(SigningRequest.verify(SigningRequest.make(SPIFFEID(identity)!, key: key)), now: .now())
        scratch.write(PEM.certificate(authority.rootDER), "root.pem")
        scratch.write(PEM.certificate(leaf.der), "leaf.pem")
        for purpose in ["sslserver", "sslclient"] {
            let result = run(
                "openssl", ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", scratch.file("root.pem"), scratch.file("leaf.pem")])
            #expect(result.status == 0, "\(result.output)")
        }
        let text = run("openssl", ["x509", "-noout", "-text", "-in", scratch.file("leaf.pem")]).output
        #expect(text.contains("X509v3 Subject Alternative Name: critical\n                URI:\(identity)"))
        #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
        #expect(text.contains("CA:FALSE"))
        #expect(leaf.notAfter.seconds - leaf.notBefore.seconds == 86_460)
        let root = run("openssl", ["x509", "-noout", "-text", "-in", scratch.file("root.pem")]).output
        #expect(root.contains("CA:TRUE, pathlen:0") && root.contains("URI:spiffe://mesh.test"))
    }

    @Test func `OpenSSL finds the signing request's signature right`() throws {
        let scratch = Scratch()
        let csr = try SigningRequest.make(SPIFFEID("spiffe://mesh.test/node/b")!, key: PrivateKey())
        scratch.write(csr, "b.csr")
        let result = run("openssl", ["req", "-inform", "DER", "-in", scratch.file("b.csr"), "-verify", "-noout"])
        #expect(result.status == 0 && result.output.contains("verify OK"), "\(result.output)")
    }

    /// Requests made by OpenSSL: the type of key, the names asked for, and the refusal's code (nil: accepted).
    static let foreign: [(key: [String], names: String?, code: String?)] = [
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "URI:spiffe://mesh.test/node/b", nil),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "URI:spiffe://mesh.test/node/b", nil),
        (["rsa:512"], "URI:spiffe://mesh.test/node/b", "csr_"),
        (["rsa:2048"], "URI:spiffe://mesh.test/node/b", "csr_key"),
        (["ed25519"], "URI:spiffe://mesh.test/node/b", "csr_"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "URI:spiffe://mesh.test/node/b", "csr_"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], nil, "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "DNS:b.mesh.test", "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "URI:spiffe://mesh.test/node/b,DNS:bank.example", "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "URI:spiffe://mesh.test/node/b,URI:spiffe://mesh.test/node/c", "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "IP:192.0.2.1", "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "URI:https://mesh.test/node/b", "csr_names"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "URI:spiffe://mesh.test/node/..", "csr_names"),
    ]
    @Test(arguments: foreign.indices)
    func `a signing request of another program is judged by key and names`(index: Int) throws {
        let row = Self.foreign[index]
        let scratch = Scratch()
        var arguments = ["req", "-new", "-newkey", row.key[0]] + row.key.dropFirst() + ["-nodes", "-subj", "/", "-outform", "DER"]
        arguments += ["-keyout", scratch.file("key"), "-out", scratch.file("csr")]
        if let names = row.names { arguments += ["-addext", "subjectAltName=\(names)"] }
        let made = run("openssl", arguments)
        try #require(made.status == 0, "\(made.output)")
        let der = [UInt8](try Data(contentsOf: URL(filePath: scratch.file("csr"))))
        let found = code { () throws(MeshError) in try SigningRequest.verify(der) }
        if let wanted = row.code { #expect(found?.hasPrefix(wanted) == true, "\(String(describing: found))") } else { #expect(found == nil) }
    }

    @Test func `a request signed with another key is refused`() throws {
        let identity = SPIFFEID("spiffe://mesh.test/node/b")!
        let (mine, victim) = (PrivateKey(), PrivateKey())
        let extensions = try Certificate.Extensions { SubjectAlternativeNames([.uniformResourceIdentifier(identity.description)]) }
        let attributes: [CertificateSigningRequest.Attribute] = [try .init(ExtensionRequest(extensions: extensions))]
        let honest = try CertificateSigningRequest(derEncoded: SigningRequest.make(identity, key: mine))
        let forged = try CertificateSigningRequest(
            version: .v1, subject: DistinguishedName(), publicKey: victim.certificateKey.publicKey, attributes: .init(attributes),
            signatureAlgorithm: .ecdsaWithSHA256, signature: honest.signature)
        let der = try forged.derBytes
        #expect(code { () throws(MeshError) in try SigningRequest.verify(der) } == "csr_possession")
    }

    @Test(arguments: [0, 1, 40, 200])
    func `a damaged request is refused and never traps`(length: Int) throws {
        let good = try SigningRequest.make(SPIFFEID("spiffe://mesh.test/node/b")!, key: PrivateKey())
        #expect(code { () throws(MeshError) in try SigningRequest.verify(Array(good.prefix(length))) } == "csr_malformed")
        let large = [UInt8](repeating: 0x30, count: SigningRequest.maximumBytes + 1)
        #expect(code { () throws(MeshError) in try SigningRequest.verify(large) } == "bad_request")
        var flipped = good
        for index in good.indices {
            flipped[index] ^= 0x40
            #expect(throws: MeshError.self) { try SigningRequest.verify(flipped) }
            flipped[index] = good[index]
        }
    }

    @Test func `the root's key must be the root's key`() throws {
        let authority = try MeshAuthority(creating: "mesh.test", now: .now())
        let error = code { () throws(MeshError) in
            try MeshAuthority(
                trustDomain: "mesh.test", rootDER: authority.rootDER, key: PrivateKey(), paths: ("root.crt", "root.key"), lifetimes: .init())
        }
        #expect(error == "state_corrupt")
    }

    @Test func `a leaf does not outlive the root, and an expired root signs nothing`() throws {
        let now = WallTime(seconds: 1_700_000_000)
        var lifetimes = CertificateLifetimes()
        lifetimes.root = .seconds(3600)
        let authority = try MeshAuthority(creating: "mesh.test", now: now, lifetimes: lifetimes)
        let request = try SigningRequest.verify(SigningRequest.make(SPIFFEID("spiffe://mesh.test/node/b")!, key: PrivateKey()))
        #expect(try authority.issue(request, now: now).notAfter == now + .seconds(3600))
        #expect(code { () throws(MeshError) in try authority.issue(request, now: now + .seconds(3600)) } == "root_expired")
    }

    @Test(arguments: ["", "Mesh", "mesh/x", "mesh domain", "spiffe://mesh"])
    func `a bad trust domain makes no root`(name: String) {
        #expect(code { () throws(MeshError) in try MeshAuthority(creating: name, now: .now()) } == "trust_domain")
    }
}

@Suite struct TrustBundleTests {
    let now = WallTime(seconds: 1_700_000_000)

    func leaf(_ authority: MeshAuthority, _ identity: String = "spiffe://mesh.test/node/b") throws -> [UInt8] {
        try authority.issue(SigningRequest.verify(SigningRequest.make(SPIFFEID(identity)!, key: PrivateKey())), now: now).der
    }
    func bundle(_ authority: MeshAuthority) throws -> TrustBundle {
        try TrustBundle(trustDomain: authority.trustDomain, rootsDER: [authority.rootDER], path: "root")
    }

    @Test func `a leaf is accepted from a minute before it was made until it ends`() throws {
        let authority = try MeshAuthority(creating: "mesh.test", now: now)
        let (bundle, leaf) = (try bundle(authority), try leaf(authority))
        for (offset, wanted) in [(-61, "not_yet_valid"), (-60, nil), (0, nil), (86_399, nil), (86_400, "expired")] as [(Int64, String?)] {
            let time = WallTime(seconds: now.seconds + offset)
            #expect(code { () throws(MeshError) in try bundle.verify(leaf: leaf, now: time, subject: "it") } == wanted, "\(offset)")
        }
        let found = try bundle.verify(leaf: leaf, now: now, subject: "it")
        #expect(found.identity.node == "b")
        #expect(found.notAfter.seconds == now.seconds + 86_400)
    }

    @Test func `leaves of other roots and other trust domains are refused`() throws {
        let ours = try MeshAuthority(creating: "mesh.test", now: now)
        let same = try MeshAuthority(creating: "mesh.test", now: now)
        let other = try MeshAuthority(creating: "other.test", now: now)
        let bundle = try bundle(ours)
        let (stranger, foreigner) = (try leaf(same), try leaf(other, "spiffe://other.test/node/b"))
        #expect(code { () throws(MeshError) in try bundle.verify(leaf: stranger, now: now, subject: "it") } == "untrusted")
        #expect(code { () throws(MeshError) in try bundle.verify(leaf: foreigner, now: now, subject: "it") } == "trust_domain")
        #expect(code { () throws(MeshError) in try bundle.verify(leaf: ours.rootDER, now: now, subject: "it") } == "no_identity")
        #expect(code { () throws(MeshError) in try bundle.verify(leaf: [1, 2, 3], now: now, subject: "it") } == "certificate_malformed")
    }

    @Test func `a root of another trust domain or a leaf is no root`() throws {
        let authority = try MeshAuthority(creating: "mesh.test", now: now)
        let leaf = try leaf(authority)
        for (domain, der) in [("other.test", authority.rootDER), ("mesh.test", leaf), ("mesh.test", [0x30])] {
            #expect(code { () throws(MeshError) in try TrustBundle(trustDomain: domain, rootsDER: [der], path: "bundle.pem") } == "state_corrupt")
        }
    }

    /// What a leaf signed with the root's key, but not by our rules, may not have.
    @Test(arguments: ["no usages", "client only", "two names", "authority", "unknown critical"])
    func `a leaf with the wrong uses is refused although the root signed it`(what: String) throws {
        let authority = try MeshAuthority(creating: "mesh.test", now: now)
        let key = PrivateKey()
        var names: [GeneralName] = [.uniformResourceIdentifier("spiffe://mesh.test/node/b")]
        if what == "two names" { names.append(.dnsName("bank.example")) }
        var extensions = try Certificate.Extensions { Critical(SubjectAlternativeNames(names)) }
        if what == "authority" {
            try extensions.append(BasicConstraints.isCertificateAuthority(maxPathLength: nil).makeCertificateExtension())
        }
        if what != "no usages" {
            try extensions.append(KeyUsage(digitalSignature: true).makeCertificateExtension())
            try extensions.append(ExtendedKeyUsage(what == "client only" ? [.clientAuth] : [.serverAuth, .clientAuth]).makeCertificateExtension())
        }
        if what == "unknown critical" { try extensions.append(Certificate.Extension(oid: [1, 2, 3, 4], critical: true, value: [5, 0])) }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: key.certificateKey.publicKey, notValidBefore: now.date,
            notValidAfter: (now + .seconds(60)).date,
            issuer: authority.root.subject, subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions,
            issuerPrivateKey: authority.key.certificateKey)
        let (der, bundle) = (try certificate.derBytes, try bundle(authority))
        #expect(
            code { () throws(MeshError) in try bundle.verify(leaf: der, now: now, subject: "it") } == (what == "two names" ? "no_identity" : "usage"))
    }
}
