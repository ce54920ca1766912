import AilurusDemoModel
import SwiftUI
import UniformTypeIdentifiers

/// The first start: a new profile, or one from a backup.
struct WelcomeView: View {
    @ObservedObject var app: AppModel
    @State private var name = ""
    @State private var node = ""
    @State private var choosing = false
    @State private var backup: URL?
    @State private var passphrase = ""
    @State private var busy = false

    var body: some View {
        NavigationView {
            Form {
                Section {
                    TextField(localized("welcome.name"), text: $name)
                    TextField(localized("welcome.node"), text: $node)
                        .textInputAutocapitalization(.never)
                        .disableAutocorrection(true)
                    Button(localized("welcome.create")) {
                        run { await app.create(name: name, node: node) }
                    }
                    .disabled(name.isEmpty)
                } footer: {
                    Text(localized("welcome.hint"))
                }
                Section {
                    Button(localized("welcome.choose")) { choosing = true }
                    if let backup {
                        Text(backup.lastPathComponent)
                        SecureField(localized("backup.passphrase"), text: $passphrase)
                        Button(localized("welcome.restore")) {
                            run { await restore(backup) }
                        }
                        .disabled(passphrase.isEmpty)
                    }
                } header: {
                    Text(localized("backup.title"))
                }
            }
            .disabled(busy)
            .overlay { if busy { ProgressView() } }
            .navigationTitle(localized("app.name"))
        }
        .navigationViewStyle(.stack)
        .fileImporter(isPresented: $choosing, allowedContentTypes: [.data]) { result in
            switch result {
            case .success(let file): backup = file
            case .failure(let error): app.failure = Failure(error)
            }
        }
    }

    private func restore(_ file: URL) async {
        // A file of another app may be read only between these two.
        let scoped = file.startAccessingSecurityScopedResource()
        await app.restore(backup: file, passphrase: passphrase)
        if scoped { file.stopAccessingSecurityScopedResource() }
    }

    private func run(_ work: @escaping @MainActor () async -> Void) {
        busy = true
        Task {
            await work()
            busy = false
        }
    }
}
