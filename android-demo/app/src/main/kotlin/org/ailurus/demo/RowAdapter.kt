package org.ailurus.demo

import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter

/** Shows values in rows of one layout. A row keeps its number for as long as [key] names the same value. */
internal class RowAdapter<T>(
    private val inflater: LayoutInflater,
    private val layout: Int,
    private val key: (T) -> String,
    private val bind: (View, T) -> Unit,
) : BaseAdapter() {
    var rows: List<T> = emptyList()
        set(value) {
            field = value
            notifyDataSetChanged()
        }

    override fun getCount(): Int = rows.size

    override fun getItem(position: Int): T = rows[position]

    override fun getItemId(position: Int): Long = key(rows[position]).hashCode().toLong()

    /** So that the list stays where it is when rows come in above. */
    override fun hasStableIds(): Boolean = true

    override fun getView(position: Int, reused: View?, parent: ViewGroup): View {
        val view = reused ?: inflater.inflate(layout, parent, false)
        bind(view, rows[position])
        return view
    }
}
