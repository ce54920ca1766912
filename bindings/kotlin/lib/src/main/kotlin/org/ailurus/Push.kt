package org.ailurus

import java.util.Base64

/**
 * The key to subscribe with at UnifiedPush or Web Push, for this super node alone, in the form that they take (base64url);
 * null if the node does not push to endpoints.
 */
public suspend fun Client.webPushKey(node: NodeKey): String? = pushKey(node)?.let(BASE64URL::encodeToString)

/**
 * Sets the endpoint that UnifiedPush or Web Push gave for this super node, with the subscription's keys as they come there
 * (base64url). What the endpoint brings, decrypted, goes to [Client.onPush].
 */
public suspend fun Client.setWebPush(node: NodeKey, endpoint: String, p256dh: String, auth: String) {
    setPush(node, PushTarget.WebPush(endpoint, keyBytes(p256dh), keyBytes(auth)))
}

/**
 * Sets the token of a platform that has one for an app, at the super nodes in use: the one that is polled and those that
 * take over. The nodes can tell by it that they have the same client.
 *
 * @param platform as the nodes' operators call it.
 */
public suspend fun Client.setPushToken(token: String, platform: String = "fcm") {
    for (node in nodes()) {
        if (node.state == NodeState.ACTIVE || node.state == NodeState.STANDBY) {
            setPush(node.id, PushTarget.Gateway(platform, token))
        }
    }
}

/** What does not decode is left for [Client.setPush] to refuse. */
private fun keyBytes(text: String): ByteArray = try {
    Base64.getUrlDecoder().decode(text.trim().trimEnd('='))
} catch (_: IllegalArgumentException) {
    ByteArray(0)
}

private val BASE64URL: Base64.Encoder = Base64.getUrlEncoder().withoutPadding()
