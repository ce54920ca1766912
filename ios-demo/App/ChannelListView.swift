import Ailurus
import AilurusDemoModel
import SwiftUI

/// All channels, with what is unread.
struct ChannelListView: View {
    @ObservedObject var app: AppModel
    @ObservedObject var shown: ShownChannel
    @State private var creating = false
    @State private var scanning = false
    @State private var showingSettings = false
    @State private var showingBattery = false

    var body: some View {
        NavigationView {
            List {
                if !app.notices.isEmpty {
                    NoticesSection(notices: app.notices) { app.dismissNotices() }
                }
                if app.channels.isEmpty {
                    Text(localized("list.empty"))
                        .foregroundColor(.secondary)
                }
                ForEach(app.channels, id: \.id) { channel in
                    Button {
                        shown.id = channel.id
                    } label: {
                        ChannelRow(channel: channel)
                    }
                }
            }
            .background(chatLink)
            .navigationTitle(localized("app.name"))
            .toolbar {
                ToolbarItemGroup(placement: .navigationBarTrailing) {
                    Button {
                        scanning = true
                    } label: {
                        Label(localized("scan.title"), systemImage: "qrcode.viewfinder")
                    }
                    Button {
                        creating = true
                    } label: {
                        Label(localized("create.title"), systemImage: "plus")
                    }
                    Button {
                        showingBattery = true
                    } label: {
                        Label(localized("battery.title"), systemImage: "battery.75")
                    }
                    Button {
                        showingSettings = true
                    } label: {
                        Label(localized("settings.title"), systemImage: "gearshape")
                    }
                }
            }
        }
        .navigationViewStyle(.stack)
        .task(id: app.awake) {
            if app.awake { await app.watch() }
        }
        .task { await Notifications.ask() }
        .refreshable { await app.refresh() }
        .sheet(isPresented: $creating) {
            if let client = app.client {
                CreateChannelView(model: CreateModel(client: client)) { id in
                    shown.id = id
                    Task { await app.refresh() }
                }
            }
        }
        .sheet(isPresented: $scanning) {
            ScanView { app.offer = $0 }
        }
        .sheet(isPresented: $showingSettings) {
            if let client = app.client {
                SettingsView(model: SettingsModel(client: client, profile: app.profile))
            }
        }
        .sheet(isPresented: $showingBattery) {
            if let client = app.client {
                BatteryView(model: BatteryModel(client: client))
            }
        }
        .confirmationDialog(
            app.offer?.title ?? "",
            isPresented: Binding(get: { app.offer != nil && !scanning }, set: { if !$0 { app.offer = nil } }),
            titleVisibility: .visible,
            presenting: app.offer
        ) { offer in
            Button(offer.action) {
                Task {
                    if let joined = await app.accept(offer) { shown.id = joined }
                }
            }
        } message: { offer in
            Text(offer.explanation)
        }
    }

    /// Opens a channel from its row, and after it was made, joined or announced; it stays open when a rotation changes
    /// the id in the list.
    private var chatLink: some View {
        NavigationLink(
            isActive: Binding(get: { shown.id != nil }, set: { if !$0 { shown.id = nil } })
        ) {
            if let client = app.client, let id = shown.id {
                ChatView(app: app, model: ChatModel(client: client, id: id))
                    .id(id)
            }
        } label: {
            EmptyView()
        }
        .hidden()
    }
}

private struct ChannelRow: View {
    let channel: ChannelSummary

    var body: some View {
        HStack {
            VStack(alignment: .leading) {
                Text(channel.name)
                    .font(.headline)
                    .foregroundColor(.primary)
                Text(detail)
                    .font(.subheadline)
                    .foregroundColor(.secondary)
            }
            Spacer()
            if channel.muted {
                Image(systemName: "bell.slash")
                    .accessibilityLabel(localized("list.muted"))
            }
            if channel.unread > 0 {
                Text("\(channel.unread)")
                    .font(.footnote)
                    .padding(6)
                    .background(Capsule().fill(Color.accentColor))
                    .foregroundColor(.white)
                    .accessibilityLabel(localized("list.unread %lld", Int64(channel.unread)))
            }
        }
        .accessibilityElement(children: .combine)
    }

    private var detail: String {
        if channel.moved { return localized("list.moved") }
        return [
            localized("list.members %lld", Int64(channel.members)),
            channel.access.title,
            channel.redpanda ? localized("list.redpanda") : nil,
        ].compactMap { $0 }.joined(separator: " · ")
    }
}

private struct NoticesSection: View {
    let notices: [Notice]
    let dismiss: () -> Void

    var body: some View {
        Section {
            ForEach(Array(notices.enumerated()), id: \.offset) { _, notice in
                Label(notice.text, systemImage: "info.circle")
                    .font(.footnote)
            }
            Button(localized("notice.dismiss"), action: dismiss)
        }
    }
}

/// Asks for a new channel's name.
private struct CreateChannelView: View {
    @StateObject private var model: CreateModel
    private let made: (ChannelId) -> Void
    @Environment(\.dismiss) private var dismiss

    init(model: @autoclosure @escaping () -> CreateModel, made: @escaping (ChannelId) -> Void) {
        _model = StateObject(wrappedValue: model())
        self.made = made
    }

    var body: some View {
        NavigationView {
            Form {
                TextField(localized("create.name"), text: $model.name)
                Button(localized("create.make")) {
                    Task {
                        guard let id = await model.create() else { return }
                        dismiss()
                        made(id)
                    }
                }
                .disabled(model.name.isEmpty)
            }
            .navigationTitle(localized("create.title"))
            .closable()
        }
        .navigationViewStyle(.stack)
        .failureAlert($model.failure)
    }
}
