import Ailurus
import Foundation
import XCTest

/// The super nodes of a profile.
final class NodeTests: XCTestCase {
    func testTheNodeThatAnswersIsActive() async throws {
        let alice = try await phone("Alice")
        _ = try await alice.createChannel(name: "family").send(text: "hello")
        let report = try await alice.syncOnce(budget: 20)
        XCTAssertTrue(report.complete)
        let nodes = try await alice.nodes()
        let status = try XCTUnwrap(nodes.first)
        XCTAssertEqual(nodes.map(\.link), [Node.shared.link])
        XCTAssertEqual(status.host, "127.0.0.1")
        XCTAssertEqual(status.state, .active, status.reason)
        XCTAssertNil(status.hopCount, "nobody introduced Alice")
        XCTAssertNotNil(status.rtt)
        XCTAssertFalse(status.reason.isEmpty)
    }

    func testOfTwoNodesTheOneThatAnswersIsActive() async throws {
        let away = try Node()
        away.stop()
        let alice = try await phone("Alice", nodes: [away.link, Node.shared.link])
        _ = try await alice.createChannel(name: "family")
        let report = try await alice.syncOnce(budget: 20)
        XCTAssertEqual(report.nodesReached, 1)
        for node in try await alice.nodes() {
            // Down, or a standby if the other was so quick that nothing was made of the silence.
            let expected: [NodeState] = node.link == away.link ? [.down, .standby] : [.active]
            XCTAssertTrue(expected.contains(node.state), node.reason)
        }
    }

    func testNodesAreAddedAndRemovedWhileAway() async throws {
        let away = try Node()
        away.stop()
        let alice = try await phone("Alice")
        try await alice.addNode(link: away.link)
        equal(Set(try await alice.nodes().map(\.link)), [away.link, Node.shared.link])

        guard case .node(let gone, _, _) = try inspectLink(text: away.link) else { return XCTFail("a node") }
        try await alice.removeNode(node: gone)
        equal(try await alice.nodes().map(\.link), [Node.shared.link])
        let again = await kind { try await alice.removeNode(node: gone) }
        XCTAssertEqual(again, "NotFound")
        let none = await kind { try await alice.removeNode(node: NodeKey(text: "no key")) }
        XCTAssertEqual(none, "BadInput")
    }

    func testAnInvitationBringsItsNodeAndIntroducing() async throws {
        let alice = try await phone("Alice", nodes: [])
        let family = try await alice.createChannel(name: "family")
        let early = await kind { try await family.introduce() }
        XCTAssertEqual(early, "NotAllowed")

        let invitation = try Node.shared.invite()
        guard case .invitation(let id, _, _, let expires) = try inspectLink(text: invitation) else {
            return XCTFail("an invitation")
        }
        XCTAssertGreaterThan(expires, Date())
        try await alice.addInvitation(invitation: " ailurus:\(invitation)\n")
        equal(try await alice.nodes().map(\.id), [id])
        let report = try await alice.syncOnce(budget: 20)
        XCTAssertTrue(report.complete)
        equal(try await alice.nodes().map(\.hopCount), [1])
        try await family.introduce()
    }

    func testWhatIsNoInvitation() async throws {
        let alice = try await phone("Alice")
        let invitation = try Node.shared.invite()
        for bad in ["", "ai", Node.shared.link, String(invitation.dropLast()), "\(invitation)."] {
            let failure = await kind { try await alice.addInvitation(invitation: bad) }
            XCTAssertEqual(failure, "BadLink", bad)
        }
        let node = await kind { try await alice.addNode(link: invitation) }
        XCTAssertEqual(node, "BadLink")
        let join = await kind { try await alice.join(link: invitation) }
        XCTAssertEqual(join, "BadLink")
    }

    func testABuildWithoutTheDhtSaysSo() async throws {
        for mode in [DhtMode.public, .bootstrap(nodes: ["127.0.0.1:1"])] {
            let failure = await kind {
                try await Client.create(
                    folder: temporary(), key: key, name: "Alice", nodes: [], options: Options(dht: mode))
            }
            XCTAssertEqual(failure, "BadInput")
        }
        let found = try await phone("Alice").findNodes()
        XCTAssertEqual(found, 0, "off, so nothing is found")
    }
}
