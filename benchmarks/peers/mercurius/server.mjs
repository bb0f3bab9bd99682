// The graph with Mercurius, compiled by graphql-jit at the first run of an operation, and ioredis, which pipelines what is asked
// in one tick. HOST, PORT and REDIS_URL say where. Documents are read as docs/reference/store.md tells it; money and times are
// handed on as they are stored, which is their wire form.
import Fastify from 'fastify'
import { GraphQLScalarType } from 'graphql'
import { Redis } from 'ioredis'
import mercurius from 'mercurius'

const HEADER_BYTES = 10
const MARK_BYTES = 4 // of a cursor, before the place in the list

const schema = `
  scalar Decimal
  scalar DateTime
  enum OrderStatus { PLACED CONFIRMED CANCELLED COMPLETED }
  enum PaymentStatus { AUTHORIZED CAPTURED REFUNDED FAILED }
  enum ShipmentStatus { CREATED DISPATCHED DELIVERY_FAILED DELIVERED }
  type Query {
    order(id: ID!): Order
    orders(status: OrderStatus, first: Int = 20, after: String): OrderConnection!
  }
  type Customer { name: String! segment: String! nation: String! }
  type Product { title: String! brand: String! price: Decimal! }
  type OrderLine { number: Int! product: Product quantity: Decimal! amount: Decimal! }
  type Payment { status: PaymentStatus! amount: Decimal! captured: Decimal! }
  type Shipment { status: ShipmentStatus! carrier: String lineNumbers: [Int!]! createdAt: DateTime! deliveredAt: DateTime }
  type Order {
    id: ID! status: OrderStatus! placedAt: DateTime! total: Decimal!
    lines: [OrderLine!]! customer: Customer payments: [Payment!]! shipments: [Shipment!]!
  }
  type PageInfo { hasNextPage: Boolean! }
  type OrderConnection { nodes: [Order!]! pageInfo: PageInfo! }
`

const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true })

const documentKey = (projection, id) => `hr:{${projection}:1:0}:d:${id}`
const listKey = (projection, list) => `hr:{${projection}:1:0}:i:${list}`
const idOf = (member) => member.slice(member.lastIndexOf('\0') + 1)

function decode (stored, id) {
  if (stored === null) return null
  const document = JSON.parse(stored.toString('utf8', HEADER_BYTES))
  document.key = id
  return document
}

async function documents (projection, ids) {
  if (ids.length === 0) return []
  const stored = await redis.mgetBuffer(ids.map((id) => documentKey(projection, id)))
  return stored.map((one, at) => decode(one, ids[at]))
}

const isThere = (document) => document !== null

async function byOrder (projection, orders) {
  const lists = await Promise.all(orders.map((order) => redis.zrange(listKey(projection, `by_order:${order}`), 0, -1)))
  const ids = lists.map((members) => members.map(idOf))
  const found = await documents(projection, ids.flat())
  let next = 0
  return ids.map((some) => found.slice(next, (next += some.length)).filter(isThere))
}

// Calls of one request in one tick become one: `load` answers an array of keys, each there once.
class Loader {
  constructor (load) {
    this.load = load
    this.known = new Map()
    this.keys = []
    this.settle = []
  }

  get (key) {
    let promise = this.known.get(key)
    if (promise === undefined) {
      promise = new Promise((resolve, reject) => this.settle.push({ resolve, reject }))
      this.known.set(key, promise)
      if (this.keys.push(key) === 1) process.nextTick(() => this.send())
    }
    return promise
  }

  send () {
    const { keys, settle } = this
    this.keys = []
    this.settle = []
    this.load(keys).then(
      (found) => settle.forEach(({ resolve }, at) => resolve(found[at])),
      (error) => settle.forEach(({ reject }) => reject(error))
    )
  }
}

const context = () => ({
  customers: new Loader((ids) => documents('customers', ids)),
  products: new Loader((ids) => documents('products', ids)),
  payments: new Loader((orders) => byOrder('payments', orders)),
  shipments: new Loader((orders) => byOrder('shipments', orders))
})

const plain = (name) => new GraphQLScalarType({ name })

const resolvers = {
  Decimal: plain('Decimal'),
  DateTime: plain('DateTime'),
  Query: {
    order: async (_, { id }) => decode(await redis.getBuffer(documentKey('orders', id)), id),
    orders: async (_, { status, first, after }) => {
      const high = after ? Buffer.concat([Buffer.from('('), Buffer.from(after, 'base64url').subarray(MARK_BYTES)]) : '+'
      const list = listKey('orders', `by_status:${status ?? '*'}`)
      const members = await redis.zrange(list, high, '-', 'BYLEX', 'REV', 'LIMIT', 0, first + 1)
      const nodes = await documents('orders', members.slice(0, first).map(idOf))
      return { nodes: nodes.filter(isThere), pageInfo: { hasNextPage: members.length > first } }
    }
  },
  Order: {
    id: (order) => `Order:${order.key}`,
    customer: (order, _, { customers }) => customers.get(order.customerId),
    payments: (order, _, { payments }) => payments.get(order.key),
    shipments: (order, _, { shipments }) => shipments.get(order.key)
  },
  OrderLine: { product: (line, _, { products }) => products.get(line.productId) }
}

const app = Fastify()
app.register(mercurius, { schema, resolvers, context, jit: 1 })
await app.listen({ host: process.env.HOST, port: Number(process.env.PORT) })
