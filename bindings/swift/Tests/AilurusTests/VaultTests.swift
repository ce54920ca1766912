import Ailurus
import Foundation
import XCTest

/// Key vaults, those that misbehave among them.
final class VaultTests: XCTestCase {
    func testVaultKeepsTheKey() async throws {
        let folder = temporary()
        let vault = Vault()
        let alice = try await Client.createWithVault(folder: folder, vault: vault, name: "Alice", nodes: [])
        XCTAssertEqual(vault.kept.value?.count, 32)
        try await alice.shutdown()
        let name = try await Client.openWithVault(folder: folder, vault: vault).name()
        XCTAssertEqual(name, "Alice")
    }

    func testVaultsThatFail() async throws {
        let folder = temporary()
        try await phone("Alice", folder: folder).shutdown()
        let vaults = [
            Vault(load: { throw VaultError.Failed(reason: "the phone is locked; unlock it first") }),
            Vault(load: { throw Broken("something else") }),
            Vault(load: { Data(count: 16) }),
            Vault(load: { nil }),
        ]
        for vault in vaults {
            let failure = await kind { try await Client.openWithVault(folder: folder, vault: vault) }
            XCTAssertEqual(failure, "Vault")
        }
        let store = Vault(store: { _ in throw VaultError.Failed(reason: "the key store is full") })
        let unmade = temporary()
        let failure = await kind {
            try await Client.createWithVault(folder: unmade, vault: store, name: "Alice", nodes: [])
        }
        XCTAssertEqual(failure, "Vault")
        let after = await kind { try await Client.open(folder: unmade, key: key) }
        XCTAssertEqual(after, "NoProfile", "nothing was made")
        do {
            _ = try await Client.openWithVault(folder: folder, vault: vaults[0])
        } catch {
            XCTAssertTrue(error.localizedDescription.contains("unlock it first"), error.localizedDescription)
        }
    }

    func testVaultThatCallsBack() async throws {
        let (folder, other) = (temporary(), try await phone("Bob"))
        let vault = Vault(load: {
            let done = DispatchSemaphore(value: 0)
            Task {
                _ = try await other.name()
                _ = version()
                done.signal()
            }
            return done.wait(timeout: .now() + 10) == .success ? nil : Data()
        })
        let alice = try await Client.createWithVault(folder: folder, vault: vault, name: "Alice", nodes: [])
        let name = try await alice.name()
        XCTAssertEqual(name, "Alice")
    }

    func testVaultThatNeverAnswers() async {
        let (failure, took) = await BlockedVault.outcome.value
        XCTAssertEqual(failure, "Vault")
        XCTAssertLessThan(took, 40)
    }
}

/// A vault that never answers, which is given up after 30 seconds.
enum BlockedVault {
    /// What the call failed with, and after how many seconds.
    static let outcome = Task {
        let start = Date()
        let failure = await kind {
            let vault = Vault(load: {
                DispatchSemaphore(value: 0).wait()
                return nil
            })
            return try await Client.createWithVault(folder: temporary(), vault: vault, name: "Alice", nodes: [])
        }
        return (failure, Date().timeIntervalSince(start))
    }
}

private final class Vault: KeyVault {
    let kept = Shared<Data?>(nil)
    private let onLoad: (@Sendable () throws -> Data?)?
    private let onStore: (@Sendable (Data) throws -> Void)?

    init(load: (@Sendable () throws -> Data?)? = nil, store: (@Sendable (Data) throws -> Void)? = nil) {
        onLoad = load
        onStore = store
    }

    func load() throws -> Data? {
        if let onLoad { return try onLoad() }
        return kept.value
    }

    func store(key: Data) throws {
        if let onStore { return try onStore(key) }
        kept.change { $0 = key }
    }
}
