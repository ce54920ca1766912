import Ailurus
import Foundation
import Glibc
import XCTest

/// Ten thousand messages.
final class PagingTests: XCTestCase {
    func testTenThousandMessagesDoNotGrowMemory() async throws {
        // In memory where there is a place for that: each message is on disk for sure before the next.
        let memory = "/dev/shm/ailurus-swift-\(UUID().uuidString)"
        let folder = FileManager.default.isWritableFile(atPath: "/dev/shm") ? memory : temporary()
        defer { try? FileManager.default.removeItem(atPath: memory) }
        let alice = try await phone("Alice", folder: folder)
        let channel = try await alice.createChannel(name: "family")
        // The outbox takes no more than 10,000, an introduction among them.
        for number in 1...100 { _ = try await channel.send(text: "\(number) " + filler) }
        try await eventually("the first are sent") { try await alice.syncOnce(budget: 10).complete }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 101...10_000 {
                if number > 108 { try await group.next() }
                let text = "\(number) " + filler
                group.addTask { _ = try await channel.send(text: text) }
            }
            try await group.waitForAll()
        }

        // A few pages first, so that what is allocated once is allocated.
        for try await message in channel.history(pageSize: 100) where message.text.hasPrefix("9000 ") { break }
        let before = residentMegabytes()
        var (numbers, count, peak) = (Set<Int>(), 0, before)
        for try await message in channel.history(pageSize: 100) {
            numbers.insert(Int(message.text.prefix { $0 != " " }) ?? 0)
            count += 1
            if count % 100 == 50 { peak = max(peak, residentMegabytes()) }
        }
        XCTAssertEqual(count, 10_000)
        XCTAssertEqual(numbers.count, 10_000, "each of them once")
        // All of them at once are 10 MB of text alone, in Rust and again in Swift.
        XCTAssertLessThan(peak - before, 5, "MB more than before")
        try await alice.shutdown()
    }

    private let filler = String(repeating: "a long message ", count: 70)

    private func residentMegabytes() -> Double {
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
        return Double(fields[1])! * Double(sysconf(Int32(_SC_PAGESIZE))) / 1_048_576
    }
}
