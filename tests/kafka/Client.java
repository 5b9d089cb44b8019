// The tests' own Kafka client: Kafka's official Java client behind a pipe. It shares no code with the
// host, so that what a test reads back was not read by what wrote it.
//
// One JSON object a line on standard input, `{"id": 1, "do": "produce", …}`; one answer each on
// standard output, in any order: `{"id": 1, "ok": …}` or `{"id": 1, "error": "…"}`. Requests run side
// by side. When standard input ends, the processes named by `guard` are killed, their folders are
// deleted, and this one exits: no broker outlives the test run that started it, however that ended.

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Client {
  static final ObjectMapper JSON = new ObjectMapper();
  static final Map<String, Admin> ADMINS = new ConcurrentHashMap<>();
  static final Map<String, KafkaProducer<byte[], byte[]>> PRODUCERS = new ConcurrentHashMap<>();
  static final Map<Long, Guarded> GUARDED = new ConcurrentHashMap<>();
  static final Map<Long, Tail> TAILS = new ConcurrentHashMap<>();
  static final AtomicLong NEXT_TAIL = new AtomicLong();

  record Guarded(ProcessHandle process, Path folder) {}

  public static void main(String[] arguments) throws Exception {
    PrintStream answers = System.out;
    // Kafka's own classes print; standard output belongs to the answers.
    System.setOut(System.err);
    var threads = Executors.newCachedThreadPool(work -> {
      Thread thread = new Thread(work);
      thread.setDaemon(true);
      return thread;
    });
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = input.readLine()) != null; ) {
      String request = line;
      threads.submit(() -> {
        ObjectNode answer = JSON.createObjectNode();
        try {
          JsonNode r = JSON.readTree(request);
          answer.set("id", r.get("id"));
          answer.set("ok", JSON.valueToTree(run(r)));
        } catch (Throwable e) {
          Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
          answer.put("error", cause.getClass().getSimpleName() + ": " + cause.getMessage());
        }
        synchronized (answers) {
          answers.println(answer);
          answers.flush();
        }
      });
    }
    GUARDED.values().forEach(Client::end);
    // Not exit: clients of a broker that is gone would hold up their shutdown hooks.
    Runtime.getRuntime().halt(0);
  }

  static Object run(JsonNode r) throws Exception {
    return switch (r.get("do").asText()) {
      case "hello" -> true;
      case "format" -> format(r);
      case "guard" -> guard(r);
      case "end" -> release(r);
      case "ready" -> ready(r);
      case "create_topic" -> createTopic(r);
      case "add_partitions" -> addPartitions(r);
      case "delete_records" -> deleteRecords(r);
      case "produce" -> produce(r);
      case "transact" -> transact(r);
      case "consume" -> consume(r);
      case "tail" -> tail(r);
      case "tailed" -> TAILS.get(r.get("tail").asLong()).count();
      case "untail" -> TAILS.remove(r.get("tail").asLong()).stop();
      case "committed" -> committed(r);
      case "offsets" -> offsets(r);
      case "members" -> members(r);
      default -> throw new IllegalArgumentException("unknown request " + r);
    };
  }

  // --- the broker's process ---

  /** Formats a data folder with Kafka's storage tool, in this process: a JVM less to start. */
  static Object format(JsonNode r) {
    var said = new ByteArrayOutputStream();
    String[] arguments = {"format", "--cluster-id", "millstream-tests-clust", "--config", r.get("config").asText()};
    int status = kafka.tools.StorageTool.execute(arguments, new PrintStream(said, true));
    if (status != 0) throw new IllegalStateException("storage format: " + said);
    return true;
  }

  static Object guard(JsonNode r) {
    long pid = r.get("pid").asLong();
    // The handle knows the start time: another process that gets the number later is not killed.
    ProcessHandle process = ProcessHandle.of(pid).orElseThrow();
    GUARDED.put(pid, new Guarded(process, Path.of(r.get("folder").asText())));
    return true;
  }

  static Object release(JsonNode r) {
    String bootstrap = r.get("bootstrap").asText();
    Optional.ofNullable(PRODUCERS.remove(bootstrap)).ifPresent(p -> p.close(Duration.ZERO));
    Optional.ofNullable(ADMINS.remove(bootstrap)).ifPresent(a -> a.close(Duration.ZERO));
    if (r.has("pid")) Optional.ofNullable(GUARDED.remove(r.get("pid").asLong())).ifPresent(Client::end);
    return true;
  }

  static void end(Guarded guarded) {
    guarded.process.destroyForcibly();
    try {
      guarded.process.onExit().get(10, TimeUnit.SECONDS);
    } catch (Exception e) {
      // Its folder is in a temporary place either way.
    }
    delete(guarded.folder.toFile());
  }

  static void delete(File file) {
    File[] inside = Files.isSymbolicLink(file.toPath()) ? null : file.listFiles();
    if (inside != null) for (File f : inside) delete(f);
    file.delete();
  }

  static Object ready(JsonNode r) throws Exception {
    var admin = admin(r);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(r.get("seconds").asLong());
    while (true) {
      try {
        if (!admin.describeCluster().nodes().get(2, TimeUnit.SECONDS).isEmpty()) return true;
      } catch (Exception e) {
        if (System.nanoTime() > deadline) throw e;
      }
      Thread.sleep(50);
    }
  }

  // --- topics ---

  static Object createTopic(JsonNode r) throws Exception {
    Map<String, String> configs = JSON.convertValue(r.get("configs"), new TypeReference<>() {});
    var topic = new NewTopic(r.get("topic").asText(), Optional.of(r.get("partitions").asInt()), Optional.of((short) 1));
    admin(r).createTopics(List.of(topic.configs(configs))).all().get();
    return true;
  }

  static Object addPartitions(JsonNode r) throws Exception {
    var more = Map.of(r.get("topic").asText(), NewPartitions.increaseTo(r.get("total").asInt()));
    admin(r).createPartitions(more).all().get();
    return true;
  }

  static Object deleteRecords(JsonNode r) throws Exception {
    var at = new TopicPartition(r.get("topic").asText(), r.get("partition").asInt());
    admin(r).deleteRecords(Map.of(at, RecordsToDelete.beforeOffset(r.get("before").asLong()))).all().get();
    return true;
  }

  // --- records ---

  static ProducerRecord<byte[], byte[]> record(String topic, JsonNode r) {
    Integer partition = r.hasNonNull("partition") ? r.get("partition").asInt() : null;
    Long timestamp = r.hasNonNull("timestamp") ? r.get("timestamp").asLong() : null;
    return new ProducerRecord<>(topic, partition, timestamp, bytes(r.get("key")), bytes(r.get("value")));
  }

  static byte[] bytes(JsonNode text) {
    return text == null || text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
  }

  /** Sends all and waits until the broker has all; `[[partition, offset], …]`. */
  static Object produce(JsonNode r) throws Exception {
    var producer = PRODUCERS.computeIfAbsent(r.get("bootstrap").asText(), b -> {
      Properties p = properties(b);
      p.put("linger.ms", "0");
      return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    });
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode each : r.get("records")) sent.add(producer.send(record(r.get("topic").asText(), each)));
    producer.flush();
    List<long[]> places = new ArrayList<>();
    for (var each : sent) places.add(new long[] {each.get().partition(), each.get().offset()});
    return places;
  }

  /** One transaction of a producer of its own: records, offsets of a group, then commit or abort. */
  static Object transact(JsonNode r) throws Exception {
    Properties p = properties(r.get("bootstrap").asText());
    p.put("transactional.id", r.get("transactional_id").asText());
    p.put("max.block.ms", r.get("patience_ms").asText());
    p.put("request.timeout.ms", r.get("patience_ms").asText());
    p.put("delivery.timeout.ms", r.get("patience_ms").asText());
    p.put("linger.ms", "0");
    String topic = r.get("topic").asText();
    try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
      try {
        producer.initTransactions();
        producer.beginTransaction();
        for (JsonNode each : r.get("records")) producer.send(record(topic, each));
        producer.flush();
        if (r.hasNonNull("group")) {
          Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
          for (var o : r.get("offsets").properties())
            offsets.put(partition(o.getKey()), new OffsetAndMetadata(o.getValue().asLong()));
          producer.sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(r.get("group").asText()));
        }
        if (r.get("commit").asBoolean()) producer.commitTransaction();
        else producer.abortTransaction();
        return true;
      } catch (Exception e) {
        producer.close(Duration.ZERO);
        throw e;
      }
    }
  }

  /**
   * Everything from the beginning to the end of the log as it is now, as lines of JSON in the file
   * `into`; the number of records. With read_committed the end is the last stable offset.
   */
  static Object consume(JsonNode r) throws Exception {
    long records = 0;
    try (var consumer = consumer(r);
        BufferedWriter out = Files.newBufferedWriter(Path.of(r.get("into").asText()))) {
      var partitions = partitions(consumer, r.get("topic").asText());
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      // The position moves over aborted records and markers too, so that a tail of them is no hang.
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        for (var each : consumer.poll(Duration.ofMillis(200))) {
          if (each.offset() >= ends.get(new TopicPartition(each.topic(), each.partition()))) continue;
          out.write(JSON.writeValueAsString(json(each)));
          out.newLine();
          records++;
        }
      }
    }
    return records;
  }

  static ObjectNode json(ConsumerRecord<byte[], byte[]> record) {
    ObjectNode out = JSON.createObjectNode();
    out.put("partition", record.partition());
    out.put("offset", record.offset());
    out.put("timestamp", record.timestamp());
    out.put("key", text(record.key()));
    out.put("value", text(record.value()));
    ArrayNode headers = out.putArray("headers");
    record.headers().forEach(h -> headers.addArray().add(h.key()).add(text(h.value())));
    return out;
  }

  static String text(byte[] bytes) {
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }

  /** Counts the records of a topic as they become visible. */
  static class Tail implements Runnable {
    final JsonNode request;
    final AtomicLong records = new AtomicLong();
    volatile String failure;
    volatile boolean stopped;

    Tail(JsonNode request) {
      this.request = request;
    }

    public void run() {
      try (var consumer = consumer(request)) {
        var partitions = partitions(consumer, request.get("topic").asText());
        // A topic that was made just now is not known to the broker's metadata at once.
        while (partitions.isEmpty() && !stopped) {
          Thread.sleep(50);
          partitions = partitions(consumer, request.get("topic").asText());
        }
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        while (!stopped) records.addAndGet(consumer.poll(Duration.ofMillis(100)).count());
      } catch (Exception e) {
        failure = e.toString();
      }
    }

    Object count() {
      if (failure != null) throw new IllegalStateException(failure);
      return records.get();
    }

    Object stop() {
      stopped = true;
      return true;
    }
  }

  static Object tail(JsonNode r) {
    long number = NEXT_TAIL.incrementAndGet();
    Tail tail = new Tail(r);
    TAILS.put(number, tail);
    Thread thread = new Thread(tail);
    thread.setDaemon(true);
    thread.start();
    return number;
  }

  // --- offsets ---

  static Object committed(JsonNode r) throws Exception {
    var offsets = admin(r).listConsumerGroupOffsets(r.get("group").asText()).partitionsToOffsetAndMetadata().get();
    Map<String, Long> out = new HashMap<>();
    offsets.forEach((p, o) -> {
      if (o != null) out.put(p.topic() + "/" + p.partition(), o.offset());
    });
    return out;
  }

  /** `{partition: [log start, last stable offset, high watermark]}`. */
  static Object offsets(JsonNode r) throws Exception {
    var admin = admin(r);
    String topic = r.get("topic").asText();
    var description = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    Map<Integer, long[]> out = new HashMap<>();
    description.partitions().forEach(p -> out.put(p.partition(), new long[3]));
    offsets(admin, topic, out, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED, 0);
    offsets(admin, topic, out, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED, 1);
    offsets(admin, topic, out, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED, 2);
    return out;
  }

  static void offsets(Admin admin, String topic, Map<Integer, long[]> out, OffsetSpec spec, IsolationLevel isolation, int at)
      throws Exception {
    var wanted = out.keySet().stream().collect(Collectors.toMap(p -> new TopicPartition(topic, p), p -> spec));
    var found = admin.listOffsets(wanted, new ListOffsetsOptions(isolation)).all().get();
    found.forEach((p, o) -> out.get(p.partition())[at] = o.offset());
  }

  static Object members(JsonNode r) throws Exception {
    String group = r.get("group").asText();
    return admin(r).describeConsumerGroups(List.of(group)).all().get().get(group).members().size();
  }

  // --- clients ---

  static Properties properties(String bootstrap) {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    // A broker that was stopped by a test is back soon: look often.
    p.put("reconnect.backoff.ms", "20");
    p.put("reconnect.backoff.max.ms", "200");
    p.put("retry.backoff.ms", "20");
    return p;
  }

  static Admin admin(JsonNode r) {
    return ADMINS.computeIfAbsent(r.get("bootstrap").asText(), b -> Admin.create(properties(b)));
  }

  static KafkaConsumer<byte[], byte[]> consumer(JsonNode r) {
    Properties p = properties(r.get("bootstrap").asText());
    p.put("isolation.level", r.get("isolation").asText());
    p.put("auto.offset.reset", "earliest");
    p.put("enable.auto.commit", "false");
    return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) {
    List<PartitionInfo> found = consumer.partitionsFor(topic);
    return found.stream().map(p -> new TopicPartition(topic, p.partition())).collect(Collectors.toList());
  }

  static TopicPartition partition(String name) {
    int slash = name.lastIndexOf('/');
    return new TopicPartition(name.substring(0, slash), Integer.parseInt(name.substring(slash + 1)));
  }
}
