import Ailurus
import Foundation
import XCTest

@testable import AilurusDemoModel

/// The plan and what was spent, as the screen shows them.
@MainActor
final class BatteryTests: DemoTestCase {
    func testAPlanIsToldAsTheTimeUntilIt() async {
        let now = Date(timeIntervalSince1970: 1_700_000_000)
        func outlook(live: Bool, at seconds: TimeInterval?) -> Outlook {
            let wakeup = seconds.map {
                Wakeup(at: now + $0, slack: 300, reasons: [.sync], carries: [.sync, .registration])
            }
            return Outlook(Plan(live: live, wakeup: wakeup, keepAlive: nil, relay: false), now: now)
        }
        let background = outlook(live: false, at: 840)
        XCTAssertEqual(background.kind, .background)
        XCTAssertEqual(background.next?.after, 840)
        XCTAssertEqual(background.next?.also, [.registration])
        XCTAssertEqual(outlook(live: false, at: -9).next?.after, 0)
        XCTAssertEqual(outlook(live: true, at: 840).kind, .live)
        XCTAssertEqual(outlook(live: false, at: nil).kind, .offline)
    }

    func testBarsAreOfReasonsOnAllNetworksTogether() async {
        func usage(_ wakeups: UInt64, _ radio: TimeInterval) -> Usage {
            Usage(wakeups: wakeups, radioHigh: radio, bytesSent: 100, bytesReceived: 200, connected: 0)
        }
        let costs = Costs(
            UsagePeriod(
                from: Date(),
                total: usage(6, 50),
                rows: [
                    UsageRow(reason: .outbox, network: .wifi, usage: usage(1, 10)),
                    UsageRow(reason: .sync, network: .wifi, usage: usage(2, 15)),
                    UsageRow(reason: .sync, network: .cellular, usage: usage(3, 25)),
                ]
            ))
        XCTAssertEqual(costs.bars.map(\.reason), [.sync, .outbox])
        XCTAssertEqual(costs.bars.map(\.share), [1, 0.25])
        XCTAssertEqual(costs.bars.first?.cost, Costs.Cost(wakeups: 5, radio: 40, bytes: 600))
        XCTAssertEqual(costs.total.wakeups, 6)
    }

    func testWhatAPhoneSpendsShowsAndItsPlanFollowsTheChoice() async throws {
        let alice = try await phone("Alice")
        let client = try XCTUnwrap(alice.client)
        client.setAppState(state: .background)
        _ = try await client.createChannel(name: "Bamboo").send(text: "hello")
        _ = try await alice.poll(budget: 10)
        let model = BatteryModel(client: client)
        await model.load()
        let today = try XCTUnwrap(model.today)
        XCTAssertGreaterThan(today.total.bytes, 0)
        XCTAssertEqual(today.bars.first?.share, 1)

        let balanced = try XCTUnwrap(model.outlook?.next?.after)
        await model.prefer(.frugal)
        XCTAssertEqual(model.preference, .frugal)
        let frugal = try XCTUnwrap(model.outlook?.next?.after)
        XCTAssertGreaterThan(frugal, balanced)
        client.setNetwork(state: NetworkState(kind: .offline, metered: false, roaming: false))
        await model.load()
        XCTAssertEqual(model.outlook?.kind, .offline)
        XCTAssertNil(model.failure)
    }
}
