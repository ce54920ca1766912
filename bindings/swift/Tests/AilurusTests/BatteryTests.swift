import Ailurus
import Foundation
import XCTest

/// The plan, what was spent, and push, against a real super node.
final class BatteryTests: XCTestCase {
    func testThePlanFollowsWhatThePhoneAndTheUserTell() async throws {
        let alice = try await phone("Alice")
        func wait() async throws -> TimeInterval {
            let plan = try await alice.plan()
            return try XCTUnwrap(plan.wakeup).at.timeIntervalSinceNow
        }
        let usual = try await wait()
        XCTAssertEqual(alice.preference(), .balanced)
        try await alice.setPreference(preference: .frugal)
        XCTAssertEqual(alice.preference(), .frugal)
        let frugal = try await wait()
        XCTAssertGreaterThan(frugal, usual)
        alice.setPower(state: PowerState(batteryPercent: 80, charging: false, saver: false, doze: true, bucket: .frequent))
        let dozing = try await wait()
        XCTAssertGreaterThan(dozing, 7 * 3600)
        alice.setNetwork(state: NetworkState(kind: .offline, metered: false, roaming: false))
        let offline = try await alice.nextWakeup()
        XCTAssertNil(offline, "no network, no attempt")
        alice.setNetwork(state: NetworkState(kind: .cellular, metered: true, roaming: false))
        alice.setAppState(state: .foreground)
        let plan = try await alice.plan()
        XCTAssertTrue(plan.live)
    }

    func testWhatWasSpentIsToldByReasonAndNetwork() async throws {
        let alice = try await phone("Alice")
        alice.setNetwork(state: NetworkState(kind: .cellular, metered: true, roaming: false))
        _ = try await alice.createChannel(name: "family").send(text: "hello")
        _ = try await alice.syncOnce(budget: 20)
        let report = try await alice.usage()
        let today = report.today
        XCTAssertTrue((1...3).contains(today.total.wakeups), "\(today.total)")
        XCTAssertGreaterThan(today.total.bytesSent, 200)
        XCTAssertGreaterThan(today.total.radioHigh, 1)
        XCTAssertEqual(Set(today.rows.map(\.network)), [.cellular])
        XCTAssertEqual(today.rows.map(\.usage.bytesSent).reduce(0, +), today.total.bytesSent)
        XCTAssertLessThan(report.week.from, today.from)

        var (here, east) = (Calendar.current, Calendar.current)
        here.timeZone = try XCTUnwrap(TimeZone(secondsFromGMT: 0))
        east.timeZone = try XCTUnwrap(TimeZone(secondsFromGMT: 7 * 3600))
        let (one, other) = (try await alice.usage(calendar: here), try await alice.usage(calendar: east))
        XCTAssertNotEqual(one.today.from, other.today.from, "midnight is elsewhere")
    }

    func testANodeNamesItsKeyForPushAndIsToldOfTargets() async throws {
        let alice = try await phone("Alice")
        let nodes = try await alice.nodes()
        let node = try XCTUnwrap(nodes.first).id
        let key = try await alice.pushKey(node: node)
        XCTAssertEqual(key?.count, 65)
        equal(try await alice.pushStatus(node: node).state, .off)
        try await alice.setPushToken(Data([0, 0xAB]))
        equal(try await alice.pushStatus(node: node).state, .waiting)
        let target = PushTarget.webPush(endpoint: "https://push.example/a", p256dh: Data(), auth: Data(count: 16))
        let bad = await kind { try await alice.setPush(node: node, target: target) }
        XCTAssertEqual(bad, "BadInput")
        try await alice.clearPush(node: node)
        let state = try await alice.pushStatus(node: node).state
        XCTAssertNotEqual(state, .waiting)
    }

    func testAPushTargetIsPrintedNowhere() {
        let targets = [
            PushTarget.webPush(endpoint: "https://push.example/secret", p256dh: Data("secret".utf8), auth: Data("secret".utf8)),
            PushTarget.gateway(platform: "apns", token: "secret"),
        ]
        for printed in ["\(targets[0]) \(targets[1])", "\(targets)", String(reflecting: targets)] {
            XCTAssertFalse(printed.contains("secret"), printed)
        }
    }
}
