#if canImport(Security)
import Foundation
import Security

/// Keeps the storage key in the Keychain: readable once the phone was unlocked after its start, so that background work
/// can open the profile, never on another device, and not in backups.
///
/// Keep the profile's folder out of backups too, with `isExcludedFromBackup`: without the key it cannot be read.
public final class KeychainVault: KeyVault {
    private let service: String
    private let account: String
    private let accessGroup: String?

    /// The key of one profile. `account` tells profiles apart; `accessGroup` shares the key with the app's extensions.
    public init(service: String = "org.ailurus.storage-key", account: String = "default", accessGroup: String? = nil) {
        self.service = service
        self.account = account
        self.accessGroup = accessGroup
    }

    public func load() throws -> Data? {
        var query = item
        query[kSecReturnData] = true
        query[kSecMatchLimit] = kSecMatchLimitOne
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        try check(status)
        return found as? Data
    }

    public func store(key: Data) throws {
        var added = item
        added[kSecValueData] = key
        added[kSecAttrAccessible] = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
        let status = SecItemAdd(added as CFDictionary, nil)
        guard status == errSecDuplicateItem else { return try check(status) }
        let changed: [CFString: Any] = [
            kSecValueData: key,
            kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]
        try check(SecItemUpdate(item as CFDictionary, changed as CFDictionary))
    }

    /// Forgets the key: what is stored under it can never be read again.
    public func delete() throws {
        let status = SecItemDelete(item as CFDictionary)
        if status != errSecItemNotFound { try check(status) }
    }

    private var item: [CFString: Any] {
        var item: [CFString: Any] = [
            kSecClass: kSecClassGenericPassword,
            kSecAttrService: service,
            kSecAttrAccount: account,
            kSecUseDataProtectionKeychain: true,
        ]
        item[kSecAttrAccessGroup] = accessGroup
        return item
    }

    private func check(_ status: OSStatus) throws {
        if status == errSecSuccess { return }
        if status == errSecInteractionNotAllowed {
            throw VaultError.Failed(reason: "the phone was not unlocked since it started; unlock it once")
        }
        let said = SecCopyErrorMessageString(status, nil).map { $0 as String } ?? "no reason given"
        throw VaultError.Failed(reason: "the Keychain failed with \(status): \(said)")
    }
}
#endif
