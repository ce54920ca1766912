import AilurusDemoModel
import SwiftUI

/// Super nodes, storage and backup.
struct SettingsView: View {
    @StateObject private var model: SettingsModel
    @State private var node = ""
    @State private var passphrase = ""
    @State private var exporting = false
    @State private var busy = false

    init(model: @autoclosure @escaping () -> SettingsModel) {
        _model = StateObject(wrappedValue: model())
    }

    var body: some View {
        NavigationView {
            Form {
                Section {
                    LabelledValue(label: localized("settings.name"), value: model.name)
                    LabelledValue(
                        label: localized("settings.storage"),
                        value: ByteCountFormatter.string(fromByteCount: model.storage, countStyle: .file)
                    )
                }
                nodes
                backup
            }
            .navigationTitle(localized("settings.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .task { await model.load() }
        .onDisappear { model.discardBackup() }
        .fileMover(isPresented: $exporting, file: model.backup) { result in
            if case .failure(let error) = result { model.failure = Failure(error) }
            model.discardBackup()
        }
        .failureAlert($model.failure)
    }

    private var nodes: some View {
        Section {
            ForEach(model.nodes, id: \.id) { node in
                VStack(alignment: .leading) {
                    Text(node.title)
                    Text(node.reason)
                        .foregroundColor(.secondary)
                    Text(node.link)
                        .font(.footnote.monospaced())
                        .textSelection(.enabled)
                }
            }
            TextField(localized("settings.node"), text: $node)
                .textInputAutocapitalization(.never)
                .disableAutocorrection(true)
            Button(localized("settings.add")) {
                Task {
                    if await model.addNode(node) { node = "" }
                }
            }
            .disabled(node.isEmpty)
        } header: {
            Text(localized("settings.nodes"))
        }
    }

    private var backup: some View {
        Section {
            SecureField(localized("backup.passphrase"), text: $passphrase)
            Button(localized("backup.export")) {
                busy = true
                Task {
                    await model.exportBackup(to: FileManager.default.temporaryDirectory, passphrase: passphrase)
                    passphrase = ""
                    busy = false
                    exporting = model.backup != nil
                }
            }
            .disabled(passphrase.isEmpty || busy)
            if busy { ProgressView() }
        } header: {
            Text(localized("backup.title"))
        } footer: {
            Text(localized("backup.hint"))
        }
    }
}

private struct LabelledValue: View {
    let label: String
    let value: String

    var body: some View {
        HStack {
            Text(label)
            Spacer()
            Text(value)
                .foregroundColor(.secondary)
        }
        .accessibilityElement(children: .combine)
    }
}
