import Ailurus
import AilurusDemoModel
import SwiftUI

/// One channel's messages.
struct ChatView: View {
    @ObservedObject var app: AppModel
    @StateObject private var model: ChatModel
    @State private var page: ChatPage?
    @State private var renaming = false
    @State private var leaving = false
    @Environment(\.dismiss) private var dismiss

    init(app: AppModel, model: @autoclosure @escaping () -> ChatModel) {
        self.app = app
        _model = StateObject(wrappedValue: model())
    }

    var body: some View {
        ScrollViewReader { scroll in
            ScrollView {
                LazyVStack(alignment: .leading, spacing: 8) {
                    if model.hasEarlier {
                        Button(localized("chat.earlier")) { model.showEarlier() }
                    }
                    ForEach(model.messages, id: \.id) { message in
                        MessageRow(message: message)
                            .contextMenu {
                                Button(role: .destructive) {
                                    Task { await model.delete(message.id) }
                                } label: {
                                    Label(localized("chat.delete"), systemImage: "trash")
                                }
                            }
                    }
                }
                .padding()
            }
            .onChange(of: model.messages.last?.id) { last in
                if let last { scroll.scrollTo(last, anchor: .bottom) }
            }
        }
        .safeAreaInset(edge: .bottom) { composer }
        .navigationTitle(model.summary?.name ?? "")
        .navigationBarTitleDisplayMode(.inline)
        .toolbar {
            ToolbarItem(placement: .navigationBarTrailing) { menu }
        }
        .task(id: Watch(awake: app.awake, limit: model.limit)) {
            if app.awake { await model.watch() }
        }
        .sheet(item: $page) { page in
            if let client = app.client {
                switch page {
                case .share:
                    ShareView(model: ShareModel(client: client, id: model.id, own: model.summary?.access ?? .full))
                case .members:
                    MembersView(model: MembersModel(client: client, id: model.id))
                }
            }
        }
        .sheet(isPresented: $renaming) {
            RenameView(model: model, name: model.summary?.name ?? "")
        }
        .confirmationDialog(localized("leave.question"), isPresented: $leaving, titleVisibility: .visible) {
            Button(localized("leave.confirm"), role: .destructive) {
                Task {
                    if await model.leave() { dismiss() }
                    await app.refresh()
                }
            }
        } message: {
            Text(localized("leave.explanation"))
        }
        // The sheet over it shows its own.
        .failureAlert(renaming ? .constant(nil) : $model.failure)
    }

    @ViewBuilder private var composer: some View {
        HStack {
            if model.canWrite {
                TextField(localized("chat.message"), text: $model.draft)
                    .textFieldStyle(.roundedBorder)
                Button {
                    Task { await model.send() }
                } label: {
                    Image(systemName: "paperplane.fill")
                        .accessibilityLabel(localized("chat.send"))
                }
                .disabled(model.draft.isEmpty)
            } else if model.summary?.moved == true {
                Text(localized("chat.moved"))
            } else {
                Text(localized("chat.readonly"))
            }
        }
        .padding()
        .background(.bar)
    }

    private var menu: some View {
        Menu {
            Button {
                page = .share
            } label: {
                Label(localized("share.title"), systemImage: "qrcode")
            }
            Button {
                page = .members
            } label: {
                Label(localized("members.title"), systemImage: "person.2")
            }
            Button {
                renaming = true
            } label: {
                Label(localized("rename.title"), systemImage: "pencil")
            }
            Button {
                Task {
                    await model.mute(model.summary?.muted != true)
                    await app.refresh()
                }
            } label: {
                if model.summary?.muted == true {
                    Label(localized("chat.unmute"), systemImage: "bell")
                } else {
                    Label(localized("chat.mute"), systemImage: "bell.slash")
                }
            }
            Button(role: .destructive) {
                leaving = true
            } label: {
                Label(localized("leave.title"), systemImage: "rectangle.portrait.and.arrow.right")
            }
        } label: {
            Label(localized("chat.menu"), systemImage: "ellipsis.circle")
        }
    }
}

/// When it changes, the messages are watched anew.
private struct Watch: Equatable {
    let awake: Bool
    let limit: Int
}

/// A page over the chat.
private enum ChatPage: String, Identifiable {
    case share, members

    var id: String { rawValue }
}

private struct MessageRow: View {
    let message: Message

    var body: some View {
        VStack(alignment: message.own ? .trailing : .leading, spacing: 2) {
            if !message.own {
                Text(message.authorName.isEmpty ? localized("chat.unknown") : message.authorName)
                    .font(.caption)
                    .foregroundColor(.secondary)
            }
            Text(message.text)
                .padding(8)
                .background(
                    RoundedRectangle(cornerRadius: 12)
                        .fill(message.own ? Color.accentColor.opacity(0.2) : Color.secondary.opacity(0.15))
                )
            HStack(spacing: 4) {
                Text(message.time, style: .time)
                if let symbol = message.state.symbol {
                    Image(systemName: symbol)
                        .accessibilityLabel(message.state.title)
                }
            }
            .font(.caption2)
            .foregroundColor(.secondary)
        }
        .frame(maxWidth: .infinity, alignment: message.own ? .trailing : .leading)
        .accessibilityElement(children: .combine)
    }
}

private struct RenameView: View {
    @ObservedObject var model: ChatModel
    @State var name: String
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationView {
            Form {
                Section {
                    TextField(localized("create.name"), text: $name)
                    Button(localized("rename.save")) {
                        Task {
                            await model.rename(name)
                            if model.failure == nil { dismiss() }
                        }
                    }
                    .disabled(name.isEmpty)
                } footer: {
                    Text(localized("rename.hint"))
                }
            }
            .navigationTitle(localized("rename.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .failureAlert($model.failure)
    }
}
