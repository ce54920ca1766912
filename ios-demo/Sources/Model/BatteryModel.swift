import Ailurus
import Foundation

/// What the library plans in the background, what the user prefers there, and what was spent.
@MainActor
public final class BatteryModel: ObservableObject, FailureTelling {
    /// The plan; nothing before it was read.
    @Published public private(set) var outlook: Outlook?
    /// What was spent today.
    @Published public private(set) var today: Costs?
    /// What was spent in the last 7 days.
    @Published public private(set) var week: Costs?
    /// What the user prefers in the background.
    @Published public private(set) var preference: Preference
    @Published public var failure: Failure?

    private let client: Client

    public init(client: Client) {
        self.client = client
        preference = client.preference()
    }

    public func load() async {
        await attempt {
            outlook = Outlook(try await client.plan())
            let report = try await client.usage()
            (today, week) = (Costs(report.today), Costs(report.week))
        }
    }

    public func prefer(_ preference: Preference) async {
        await attempt { try await client.setPreference(preference: preference) }
        self.preference = client.preference()
        await load()
    }
}

/// A plan in the terms of the screen.
public struct Outlook: Equatable, Sendable {
    public enum Kind: Sendable { case live, offline, background }

    /// The next wake-up, or the next work while live.
    public struct Next: Equatable, Sendable {
        /// Seconds until it, and how many more it may take.
        public let after, slack: TimeInterval
        /// Why.
        public let reasons: [WakeupReason]
        /// What shares it and would not have been necessary then.
        public let also: [WakeupReason]
    }

    public let kind: Kind
    public let next: Next?

    public init(_ plan: Plan, now: Date = Date()) {
        next = plan.wakeup.map { wakeup in
            Next(
                after: max(0, wakeup.at.timeIntervalSince(now)),
                slack: wakeup.slack,
                reasons: wakeup.reasons,
                also: wakeup.carries.filter { !wakeup.reasons.contains($0) }
            )
        }
        kind = plan.live ? .live : next == nil ? .offline : .background
    }
}

/// What a period cost: in all, and by reason, the most costly first.
public struct Costs: Equatable, Sendable {
    /// A sum.
    public struct Cost: Equatable, Sendable {
        public internal(set) var wakeups: UInt64 = 0
        /// Seconds for which the radio was up.
        public internal(set) var radio: TimeInterval = 0
        public internal(set) var bytes: UInt64 = 0

        mutating func add(_ usage: Usage) {
            wakeups += usage.wakeups
            radio += usage.radioHigh
            bytes += usage.bytesSent + usage.bytesReceived
        }
    }

    /// A reason's cost on all networks.
    public struct Bar: Equatable, Sendable {
        public let reason: WakeupReason
        public let cost: Cost
        /// Of the longest bar, from 0 to 1.
        public let share: Double
    }

    public let total: Cost
    public let bars: [Bar]

    public init(_ period: UsagePeriod) {
        var total = Cost()
        total.add(period.total)
        self.total = total
        var costs: [WakeupReason: Cost] = [:]
        for row in period.rows { costs[row.reason, default: Cost()].add(row.usage) }
        let longest = max(costs.values.map(\.radio).max() ?? 0, 0.001)
        bars = costs.map { Bar(reason: $0, cost: $1, share: $1.radio / longest) }
            .sorted { ($0.cost.radio, $0.cost.bytes) > ($1.cost.radio, $1.cost.bytes) }
    }
}
