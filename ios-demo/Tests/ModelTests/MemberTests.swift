import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class MemberTests: DemoTestCase {
    func testSafetyNumbersAreTheSameOnBothPhones() async throws {
        let (alice, bob, id) = try await pair()
        let here = MembersModel(client: try XCTUnwrap(alice.client), id: id)
        let there = MembersModel(client: try XCTUnwrap(bob.client), id: id)
        await here.load()
        await there.load()
        let bobHere = try XCTUnwrap(here.members.first { !$0.own })
        let aliceThere = try XCTUnwrap(there.members.first { !$0.own })
        XCTAssertEqual(bobHere.name, "Bob")
        XCTAssertEqual(bobHere.safetyNumber, aliceThere.safetyNumber)
        XCTAssertEqual(bobHere.safetyNumber.filter(\.isNumber).count, 60)
        XCTAssertTrue(here.admin)
        XCTAssertFalse(there.admin)
    }

    func testAnAdminLeavesAMemberOut() async throws {
        let (alice, bob, id) = try await pair()
        let carol = try await phone("Carol")
        _ = try await join(carol, link(alice, id))
        let fromCarol = try chat(carol, id)
        fromCarol.draft = "me too"
        await fromCarol.send()
        try await eventually("Carol is known") { alice.channels.first?.members == 3 }

        let members = MembersModel(client: try XCTUnwrap(alice.client), id: id)
        await members.load()
        members.toggle(try XCTUnwrap(members.members.first { $0.own }))
        XCTAssertTrue(members.chosen.isEmpty, "nobody leaves themselves out")
        members.toggle(try XCTUnwrap(members.members.first { $0.name == "Carol" }))
        let rotated = await members.rotate()
        let new = try XCTUnwrap(rotated)
        XCTAssertNotEqual(new, id)
        XCTAssertTrue(members.chosen.isEmpty)
        XCTAssertEqual(members.members.filter(\.removed).map(\.name), ["Carol"])

        try await eventually("Bob follows") { bob.channels.map(\.id) == [new] }
        try await eventually("Bob is told") {
            bob.notices.contains { if case .rotated(_, new, _) = $0.kind { return true } else { return false } }
        }
        bob.dismissNotices()
        XCTAssertTrue(bob.notices.isEmpty)
        try await eventually("Carol is left behind") { carol.channels.first?.moved == true }

        let there = try chat(bob, id)
        try await eventually("the former id finds the channel") { there.summary?.id == new }
    }

    func testOnlyAnAdminRotatesAndAppoints() async throws {
        let (alice, bob, id) = try await pair()
        let there = MembersModel(client: try XCTUnwrap(bob.client), id: id)
        await there.load()
        let refused = await there.rotate()
        XCTAssertNil(refused)
        guard case .NotAdmin = try XCTUnwrap(there.failure?.error) else {
            return XCTFail("\(String(describing: there.failure))")
        }

        let here = MembersModel(client: try XCTUnwrap(alice.client), id: id)
        await here.load()
        await here.appoint(try XCTUnwrap(here.members.first { !$0.own }))
        XCTAssertNil(here.failure)
        try await eventually("Bob is admin") {
            // Nothing tells his phone at once; the page shows it when it is opened.
            await there.load()
            return there.admin
        }
    }

    /// Alice's channel, in which Bob has written.
    private func pair() async throws -> (AppModel, AppModel, ChannelId) {
        let alice = try await phone("Alice")
        let bob = try await phone("Bob")
        let id = try await create(alice, "Bamboo")
        _ = try await join(bob, link(alice, id))
        for (phone, other) in [(bob, alice), (alice, bob)] {
            let chat = try chat(phone, id)
            chat.draft = "hello"
            await chat.send()
            try await eventually("they know each other") { other.channels.first?.members == 2 }
        }
        return (alice, bob, id)
    }
}
