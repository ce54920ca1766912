package org.ailurus.demo.model

import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import org.ailurus.Client
import org.ailurus.Event
import org.ailurus.Listener

/**
 * A tick now, and one after each event but those of connections and delivery: to read again. Ticks that are not taken in
 * time become one.
 */
internal fun Client.ticks(): Flow<Unit> = callbackFlow {
    val subscription = listen(object : Listener {
        override fun onEvent(event: Event) {
            if (event !is Event.Connected && event !is Event.State) {
                trySend(Unit)
            }
        }
    })
    trySend(Unit)
    awaitClose {
        subscription.stop()
        subscription.close()
    }
}.conflate()
